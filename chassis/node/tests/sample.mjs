// A worker with the functions that the tests need beyond the conformance worker's.
//
//     node sample.mjs [slots]

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { pipeline } from "node:stream/promises";
import { setTimeout } from "node:timers/promises";
import { Cancelled, Last, Payload, Worker } from "katamari";

const slots = Number(process.argv[2] ?? 1);
const seen = [];
const worker = new Worker("sample", {
  versions: { model: "1.2" }, tags: ["en", "de"], roles: ["r"], slots,
});
const optional = { required: false };

worker.function("options", {
  parameters: { first: "any", second: optional, third: { doc: "a doc" }, fourth: optional },
}, ({ first, second = 2, third, fourth = 4 }) => [first, second, third, fourth]);

worker.function("size_of", { parameters: { data: "bytes" } }, ({ data }) => data.length);

worker.function("retype", { parameters: { payload: "any" } }, ({ payload }) =>
  new Payload(Buffer.from(payload.data).reverse(), `${payload.contentType}+reversed`));

worker.function("octets", { parameters: { size: "integer" } }, ({ size }) =>
  new Uint8Array(size).fill(255));

worker.function("make", { parameters: { what: "string" } }, ({ what }) => {
  const circle = [];
  circle.push(circle);
  return {
    big: 1n, circle, nothing: undefined, unicode: "pâté \u2028 🍣", "last big": new Last(1n),
  }[what];
});

worker.function("text_of", { parameters: { size: "integer" } }, ({ size }) => "x".repeat(size));

worker.function("raise_it", { parameters: { what: "string" } }, async ({ what }) => {
  const mute = new Error();
  Object.defineProperty(mute, "message", { get() { throw new Error("no words"); } });
  throw {
    cause: new TypeError("outer", { cause: new RangeError("inner") }),
    empty: new RangeError(""),
    mute,
    long: new Error("\0".repeat(100_000)),
    text: "a text",
    nothing: undefined,
    surrogate: new Error("\ud800"),
  }[what];
});

worker.function("recurse", {}, function recurse() { return recurse(); });

worker.function("nap", { parameters: { ms: "integer" } }, async ({ ms }) => {
  await setTimeout(ms);
  return "rested";
});

worker.function("wait_for_cancel", {}, async (_, call) => {
  await new Promise((resolve) => call.signal.addEventListener("abort", resolve));
  return [call.cancelReason, call.signal.reason instanceof Cancelled];
});

worker.function("numbers", {
  parameters: { to: "integer", result: optional, fail_at: optional, size: optional },
}, function* ({ to, result, fail_at, size }) {
  try {
    for (let number = 1; number <= to; number += 1) {
      if (number === fail_at) throw new RangeError(`no ${number}`);
      yield size ? "x".repeat(size) : number;
    }
    return result;
  } finally {
    seen.push("closed");
  }
});

worker.function("slow_numbers", { parameters: { to: "integer" } }, async function* ({ to }) {
  try {
    for (let number = 1; number <= to; number += 1) {
      await setTimeout(1);
      yield number;
    }
  } finally {
    seen.push("closed slowly");
  }
});

worker.function("lines", { stream: true, parameters: { text: "string" } }, async ({ text }) =>
  text.split("\n"));

worker.function("no_stream", { stream: true }, () => 5);

worker.function("last_numbers", {}, function* () {
  yield 1;
  return new Last(2);
});

worker.function("chunks", {}, function* () {
  yield Buffer.from([0, 1]);
  yield new Payload(Buffer.from("<p>"), "text/html");
});

worker.function("pieces", { input: true }, async (_, call) => {
  const pieces = [];
  for await (const piece of call.input) pieces.push(piece.toString("latin1"));
  return [pieces, call.input.contentType ?? null];
});

worker.function("first_piece", { input: true }, async (_, call) => {
  for await (const piece of call.input) return `${piece}`;
});

worker.function("wait_then_read", { input: true }, async (_, call) => {
  await call.cluster("other.thing");
  return text(call.input);
});

worker.function("digest", { input: true }, async (_, call) => {
  const sum = createHash("sha256");
  await pipeline(call.input, sum);
  return sum.digest("hex");
});

/** Reads so many bytes at a time, like a file. */
worker.function("read_sizes", {
  input: true, parameters: { sizes: "[integer]" },
}, async ({ sizes }, { input }) => {
  const seen = [];
  for (const size of sizes) {
    let part;
    while ((part = input.read(size)) === null) await once(input, "readable");
    seen.push(`${part}`);
  }
  return seen;
});

worker.function("upper", { input: true }, async function* (_, { input }) {
  for await (const piece of input) yield `${piece}`.toUpperCase();
});

/** Has its input, and does not read it. */
worker.function("no_reader", { input: true }, (_, call) =>
  new Promise((resolve) => call.signal.addEventListener("abort", () =>
    resolve([call.cancelReason, call.input.destroyed]))));

worker.function("what_was_seen", {}, () => seen);

worker.function("log", { parameters: { text: "string" } }, ({ text }) => console.log(text));

worker.function("relay", {
  parameters: { target: "any", arguments: "any", options: optional },
}, async ({ target, arguments: given, options = {} }, call) => {
  const { payload, ...rest } = options;
  if (payload) given = new Payload(Buffer.from(payload), "text/plain");
  const got = await call.cluster(target, given, rest);
  const shown = got instanceof Payload
    ? { payload: Buffer.from(got.data).toString(), type: got.contentType }
    : got;
  return [shown, call.cancelled];
});

worker.function("relay_large", { parameters: { size: "integer" } }, ({ size }, call) =>
  call.cluster("other.do", { text: "x".repeat(size) }));

/** Ends while its nested call is in flight, and keeps the call to use it later. */
let kept;
worker.function("leave_nested", {}, (_, call) => {
  kept = call;
  call.cluster("other.slow");
  return "left";
});

worker.function("use_ended_call", {}, async () => {
  try {
    return await kept.cluster("other.do");
  } catch (error) {
    return error.message;
  }
});

worker.function("about_the_call", {}, (_, call) => [call.id, call.key ?? null, call.class]);

worker.function("environment", {}, () =>
  execFileSync("sh", ["-c", 'echo "${KATAMARI_PROTOCOL-unset}"'], { encoding: "utf8" }).trim());

await worker.run();
console.log("after run");
