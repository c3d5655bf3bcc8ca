// What the declared types make of arguments and results. Compiled, never run.

import { Last, Payload, Worker, type ValueOf } from "katamari";

type Same<A, B> = (<T>() => T extends A ? 1 : 2) extends <T>() => T extends B ? 1 : 2 ? true : false;
const same = <A, B>(_: Same<A, B>): void => {};

same<ValueOf<"string">, string>(true);
same<ValueOf<"[integer]">, number[]>(true);
same<ValueOf<"{[number]}?">, Record<string, number[]> | null>(true);
same<ValueOf<"bytes">, Uint8Array>(true);
same<ValueOf<"text">, never>(true);

const worker = new Worker("k", { versions: { grammar: "1" }, slots: 4 });

const parameters = {
  text: "string", limit: { type: "integer", required: false }, more: { doc: "untyped" },
} as const;
worker.function("f", { parameters, result: "[string]" }, async (given, call) => {
  same<typeof given.text, string>(true);
  same<typeof given.limit, number | undefined>(true);
  same<typeof given.more, any>(true);
  // @ts-expect-error: there is no such parameter
  given.other;
  call.remaining().toFixed();
  call.signal.throwIfAborted();
  await call.cluster("parse.linkage", { text: given.text }, { timeout: 500, class: "low" });
  // @ts-expect-error: there is no such class
  await call.cluster("parse.linkage", {}, { class: "urgent" });
  return [given.text];
});

// @ts-expect-error: the result is declared otherwise
worker.function("g", { result: "string" }, () => 5);
worker.function("h", { result: "integer" }, function* () { yield 1; });
// @ts-expect-error: so is the piece
worker.function("i", { result: "integer" }, async function* () { yield "text"; });
worker.function("j", { result: "bytes" }, () => new Payload(new Uint8Array(), "image/png"));
worker.function("k", { result: "string" }, () => new Last("bye"));
worker.function("n", { input: true, result: "integer" }, async (_, call) => {
  let size = 0;
  for await (const piece of call.input) size += piece.length;
  same<typeof call.input.contentType, string | undefined>(true);
  return size;
});
worker.function("l", {}, () => {});
const m = worker.function("m", { parameters: { a: "integer" } }, ({ a }) => a + 1);
same<ReturnType<typeof m>, number>(true);
