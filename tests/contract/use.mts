// Uses the client that `katamari client typescript` wrote.

import assert from "node:assert/strict";
import { KatamariError, TypedKind } from "./client.mjs";

async function collect<T>(pieces: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const piece of pieces) all.push(piece);
  return all;
}

async function refused(code: string, call: Promise<unknown>): Promise<void> {
  await assert.rejects(call, (error: unknown) => {
    assert(error instanceof KatamariError);
    assert.equal(error.code, code);
    return true;
  });
}

const typed = new TypedKind(process.argv[2]);
const joined: string = await typed.join({ words: ["a", "b"], between: "-" });
assert.equal(joined, "a-b");
assert.deepEqual(await typed.scale({ vector: { x: 1.5 }, by: 2 }), { x: 3 });
assert.deepEqual(await typed.from({ any: "é", self: null }), { any: "é", self: null });
const reversed = await typed.reverse(new Uint8Array([0, 255]));
assert.deepEqual([...reversed], [255, 0]);
const pieces: number[] = await collect(typed.count({ to: 2 }));
assert.deepEqual(pieces, [1, 2]);
const options = { timeoutMs: 5000, class: "high", key: "k", idempotent: true } as const;
assert.equal(await typed.join({ words: [] }, options), "");
await refused("worker_error", typed.fail({ message: "no" }));
await refused("worker_error", collect(typed.count({ to: 9 })));
// @ts-expect-error a word is a string
await refused("bad_arguments", typed.join({ words: [1] }));
