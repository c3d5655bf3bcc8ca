// The conformance worker, by which `katamari check` tests this chassis in full.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { CallError, Last, Worker } from "katamari";

/** Milliseconds between two looks at the cancellation. */
const STEP = 10;

const worker = new Worker("conformance", {
  versions: { chassis: "node" },
  tags: ["conformance"],
  slots: Number(process.env.KATAMARI_CONFORMANCE_SLOTS ?? 1),
});

worker.function("echo", { idempotent: true, parameters: { value: "any" } }, ({ value }) => value);

worker.function("add", {
  doc: "Adds.",
  idempotent: true,
  parameters: { a: "integer", b: "integer", c: { type: "integer", required: false } },
  result: "integer",
}, ({ a, b, c = 0 }) => a + b + c);

worker.function("fail", { parameters: { message: "string" } }, ({ message }) => {
  throw new Error(message);
});

worker.function("sleep", { parameters: { ms: "integer" }, result: "string" }, async ({ ms }, call) => {
  const end = performance.now() + ms;
  for (;;) {
    call.checkCancelled();
    const left = end - performance.now();
    if (left <= 0) return "slept";
    await setTimeout(Math.min(STEP, left));
  }
});

worker.function("remaining", { result: "integer" }, (_, call) => Math.trunc(call.remaining()));

worker.function("count", { parameters: { to: "integer", size: "integer" } }, function* ({ to, size }) {
  for (let number = 1; number <= to; number += 1) yield size > 0 ? "x".repeat(size) : number;
});

worker.function("nested", {
  parameters: { kind: "string", function: "string", arguments: "object" },
  result: "object",
}, async (given, call) => {
  try {
    return { result: await call.cluster(`${given.kind}.${given.function}`, given.arguments) };
  } catch (error) {
    if (error instanceof CallError) return { error: error.code };
    throw error;
  }
});

worker.function("last", { parameters: { value: "any" } }, ({ value }) => new Last(value));

worker.function("print", { parameters: { text: "string" } }, ({ text }) => {
  console.log(text);
  console.error(text);
});

worker.function("measure", { input: true, result: "object" }, async (_, call) => {
  let bytes = 0;
  const sum = createHash("sha256");
  for await (const piece of call.input) {
    bytes += piece.length;
    sum.update(piece);
  }
  return { bytes, sha256: sum.digest("hex") };
});

// Whether descriptors 3 and 4 are closed in a child.
worker.function("leak", { result: "boolean" }, () => {
  const look = "test ! -e /proc/self/fd/3 && test ! -e /proc/self/fd/4";
  return spawnSync("sh", ["-c", look]).status === 0;
});

await worker.run();
