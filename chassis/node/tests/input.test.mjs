// Streamed requests: input, what is granted for it, and its ends.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import test from "node:test";
import { manage, WELCOME } from "./fake_manager.mjs";

const CREDIT = WELCOME.stream_credit;

async function sample(t, slots = 1) {
  const manager = await manage(t, "sample.mjs", [slots]);
  const begin = (name, given = {}) => manager.sendCall(name, given, { input: true });
  const send = (id, piece, more = {}) => manager.send("I", { id, ...more }, piece);
  const finish = (id, piece = "") => send(id, piece, { end: true });
  const granted = async (id, bytes) => {
    const { type, header } = await manager.receive();
    assert.deepEqual([type, header], ["G", { id, bytes }]);
  };
  const answered = async (id, value) => {
    const { type, header, payload } = await manager.receive();
    assert.deepEqual([type, header.id, JSON.parse(payload)], ["R", id, value]);
  };
  /** Nothing comes but the answer to a ping. */
  const silent = async () => {
    manager.send("P");
    assert.equal((await manager.receive()).type, "O");
  };
  return { manager, begin, send, finish, granted, answered, silent };
}

test("it is announced where it is declared", async (t) => {
  const { manager } = await sample(t);
  const announced = new Map(manager.hello.functions.map(({ name, input }) => [name, input]));
  assert.deepEqual([announced.get("pieces"), announced.get("nap")], [true, undefined]);
});

test("pieces as they come", async (t) => {
  const { manager, begin, send, finish, granted, answered } = await sample(t);
  const id = begin("pieces");
  await granted(id, CREDIT);
  send(id, Buffer.from([0, 255]), { content_type: "image/png" });
  send(id, "");
  finish(id, "end");
  await answered(id, [["\0\xff", "end"], "image/png"]);
  assert.deepEqual((await manager.call("pieces")).value(), [[], null]);
});

test("what was taken is granted again", async (t) => {
  const { begin, send, finish, granted, answered, silent } = await sample(t);
  const id = begin("digest");
  await granted(id, CREDIT);
  const pieces = ["x".repeat(CREDIT / 8 - 1), "y", "z".repeat(CREDIT)];
  send(id, pieces[0]);
  await silent();
  send(id, pieces[1]);
  await granted(id, CREDIT / 8);
  send(id, pieces[2]);
  await granted(id, CREDIT);
  finish(id);
  await answered(id, createHash("sha256").update(pieces.join("")).digest("hex"));
});

test("nothing is granted before it reads, nor taken before it is wanted", async (t) => {
  const { manager, begin, send, finish, granted, answered, silent } = await sample(t);
  let id = begin("wait_then_read");
  const nested = await manager.receive();
  await silent();
  manager.send("A", { id: nested.header.id }, "null");
  await granted(id, CREDIT);
  finish(id, "abc");
  await answered(id, "abc");
  // It waits for credit to send the first piece's answer, and takes no other meanwhile.
  id = begin("upper");
  await granted(id, CREDIT);
  for (let at = 0; at < 3; at += 1) send(id, "x".repeat(CREDIT));
  await granted(id, CREDIT);
  assert.equal((await manager.receive()).type, "S");
  await granted(id, CREDIT);
  await silent();
  manager.send("X", { id, reason: "deadline" });
  assert.equal((await manager.receive()).header.message, "cancelled");
});

test("it reads like a file", async (t) => {
  const { begin, send, finish, granted, answered } = await sample(t);
  const id = begin("read_sizes", [[1, 3, 2]]);
  await granted(id, CREDIT);
  for (const piece of ["ab", "cd", "efg"]) send(id, piece);
  finish(id);
  await answered(id, ["a", "bcd", "ef"]);
});

test("an early end", async (t) => {
  const { manager, begin, send, finish, granted, answered } = await sample(t);
  const id = begin("first_piece");
  await granted(id, CREDIT);
  send(id, "xyz");
  await answered(id, "xyz");
  send(id, "too late");
  finish(id);
  assert.equal((await manager.call("text_of", [1])).value(), "x");
});

for (const name of ["pieces", "digest", "read_sizes", "wait_then_read"]) {
  test(`a cancel wakes it: ${name}`, async (t) => {
    const { manager, begin, granted } = await sample(t);
    const id = begin(name, { sizes: [1] });
    if (name === "wait_then_read") {
      const { header } = await manager.receive();
      manager.send("X", { id, reason: "client_left" });
      manager.send("A", { id: header.id }, "null");
    } else {
      await granted(id, CREDIT);
      manager.send("X", { id, reason: "client_left" });
    }
    const { type, header } = await manager.receive();
    assert.deepEqual([type, header.type, header.message], ["E", "Cancelled", "cancelled"]);
  });
}

test("a cancel of a call that does not read ends nothing else", async (t) => {
  const { manager, begin, answered } = await sample(t);
  const id = begin("no_reader");
  manager.send("X", { id, reason: "deadline" });
  await answered(id, ["deadline", true]);
  assert.equal((await manager.call("text_of", [1])).value(), "x");
});

test("the end of descriptor 3 wakes it", async (t) => {
  const { manager, begin, granted } = await sample(t);
  await granted(begin("pieces"), CREDIT);
  manager.input.end();
  assert.equal((await manager.receive()).header.type, "Cancelled");
  assert.equal(await manager.status(), 0);
});

test("several side by side", async (t) => {
  const { begin, send, finish, granted, answered } = await sample(t, 3);
  const ids = [];
  for (let at = 0; at < 3; at += 1) {
    const id = begin("pieces");
    await granted(id, CREDIT);
    ids.push(id);
  }
  for (const id of ids) send(id, `for ${id}`);
  for (const id of ids.reverse()) {
    finish(id);
    await answered(id, [[`for ${id}`], null]);
  }
});
