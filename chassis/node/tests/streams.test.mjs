// Streamed replies and their credit.

import assert from "node:assert/strict";
import test from "node:test";
import { manage, WELCOME } from "./fake_manager.mjs";

const CREDIT = WELCOME.stream_credit;

async function sample(t, options) {
  const manager = await manage(t, "sample.mjs", [2], options);
  /** The pieces of a stream, and the frame that ends it. */
  const collect = async (id) => {
    for (const pieces = []; ; ) {
      const frame = await manager.receive();
      assert.equal(frame.header.id, id);
      if (frame.type !== "S") return [pieces, frame];
      pieces.push(frame);
    }
  };
  const stream = async (...given) => {
    const [pieces, end] = await collect(manager.sendCall(...given));
    return [pieces.map((piece) => piece.value()), end];
  };
  /** How many pieces come before the worker has nothing to do but pong. */
  const piecesUntilPong = async () => {
    manager.send("P");
    for (let count = 0; ; count += 1) {
      if ((await manager.receive()).type === "O") return count;
    }
  };
  return { manager, collect, stream, piecesUntilPong };
}

test("pieces, and the end", async (t) => {
  const { manager, stream, collect } = await sample(t);
  for (const [name, given, expected] of [
    ["numbers", [3], [1, 2, 3]], ["numbers", [0], []],
    ["slow_numbers", [3], [1, 2, 3]], ["lines", ["a\nb"], ["a", "b"]],
  ]) {
    const [pieces, end] = await stream(name, given);
    assert.deepEqual([pieces, end.type, `${end.payload}`], [expected, "R", ""]);
  }
  let [pieces, end] = await stream("numbers", [1, { sum: 1 }]);
  assert.deepEqual([pieces, end.value()], [[1], { sum: 1 }]);
  [pieces, end] = await stream("numbers", { to: 5, fail_at: 3 });
  assert.deepEqual([pieces, end.type, end.header.message], [[1, 2], "E", "no 3"]);
  [pieces, end] = await stream("no_stream");
  assert.deepEqual([pieces, end.header.type], [[], "TypeError"]);
  [pieces, end] = await stream("numbers", [1, 0, 0, WELCOME.frame_max]);
  assert.deepEqual([pieces, end.header.type], [[], "TooLarge"]);
  [pieces] = await collect(manager.sendCall("chunks"));
  assert.deepEqual(
    pieces.map(({ payload, header }) => [`${payload}`, header.content_type]),
    [["\0\x01", "application/octet-stream"], ["<p>", "text/html"]],
  );
});

test("last after a stream", async (t) => {
  const { manager, stream } = await sample(t);
  const [pieces, end] = await stream("last_numbers");
  assert.deepEqual([pieces, end.value(), end.header.last], [[1], 2, true]);
  manager.send("Q");
  assert.equal(await manager.status(), 0);
});

test("it stops without credit and goes on with more", async (t) => {
  const { manager, collect, piecesUntilPong } = await sample(t);
  // A piece is 100 bytes long, with its quotes; the last may overdraw the credit.
  const id = manager.sendCall("numbers", { to: 60, size: 98 });
  const expected = Math.ceil(CREDIT / 100);
  for (let at = 0; at < expected; at += 1) assert.equal((await manager.receive()).type, "S");
  assert.equal(await piecesUntilPong(), 0);
  manager.send("F", { id, bytes: expected * 100 - CREDIT });
  assert.equal(await piecesUntilPong(), 0); // zero is not enough
  manager.send("F", { id, bytes: 501 });
  for (let at = 0; at < 6; at += 1) assert.equal((await manager.receive()).type, "S");
  manager.send("F", { id, bytes: 1_000_000 });
  const [pieces, end] = await collect(id);
  assert.deepEqual([pieces.length, end.type], [60 - expected - 6, "R"]);
});

test("a last value waits for credit", async (t) => {
  const { manager, collect, piecesUntilPong } = await sample(t);
  const id = manager.sendCall("numbers", [1, "end", 0, CREDIT]);
  assert.equal((await manager.receive()).type, "S");
  assert.equal(await piecesUntilPong(), 0);
  manager.send("F", { id, bytes: CREDIT });
  const [pieces, end] = await collect(id);
  assert.deepEqual([pieces, end.value()], [[], "end"]);
});

test("a cancel ends the generator where it waits", async (t) => {
  const { manager, collect } = await sample(t);
  const id = manager.sendCall("numbers", { to: 1000, size: CREDIT });
  assert.equal((await manager.receive()).type, "S");
  manager.send("X", { id, reason: "client_left" });
  const [pieces, end] = await collect(id);
  assert.deepEqual([pieces, end.type, end.header.type], [[], "E", "Cancelled"]);
  assert.deepEqual((await manager.call("what_was_seen")).value(), ["closed"]);
});

for (const name of ["numbers", "slow_numbers"]) {
  test(`a cancel is seen while there is credit: ${name}`, async (t) => {
    const { manager, collect } = await sample(t, { welcome: { stream_credit: 2 ** 40 } });
    const id = manager.sendCall(name, [2 ** 40]);
    assert.equal((await manager.receive()).type, "S");
    manager.send("X", { id, reason: "deadline" });
    const [, end] = await collect(id);
    assert.equal(end.header.type, "Cancelled");
    assert.equal((await manager.call("text_of", [1])).value(), "x");
  });
}

test("a client that reads nothing stops the stream, and nothing else", async (t) => {
  const { manager } = await sample(t, { welcome: { stream_credit: 2 ** 40 } });
  manager.output.pause();
  const id = manager.sendCall("numbers", { to: 3000, size: 10_000 });
  manager.sendCall("log", ["alive"]);
  await manager.logged("alive");
  manager.output.resume();
  let letters = 0;
  for (let ends = 0; ends < 2; ) {
    const { type, header, payload } = await manager.receive();
    if (type === "R") ends += 1;
    else if (header.id === id) letters += payload.length - 2;
  }
  assert.equal(letters, 30_000_000);
});

test("the end of the input while it waits for credit", async (t) => {
  const { manager, collect } = await sample(t);
  const id = manager.sendCall("numbers", { to: 1000, size: CREDIT });
  assert.equal((await manager.receive()).type, "S");
  manager.input.end();
  const [, end] = await collect(id);
  assert.equal(end.header.type, "Cancelled");
  assert.equal(await manager.status(), 0);
});
