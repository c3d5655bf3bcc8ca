// Calls: arguments, results, errors, time, cancellation and frames.

import assert from "node:assert/strict";
import test from "node:test";
import { manage, pack, WELCOME } from "./fake_manager.mjs";

async function sample(t, slots = 1) {
  const manager = await manage(t, "sample.mjs", [slots]);
  const end = async (type, ...given) => {
    const frame = await manager.call(...given);
    assert.equal(frame.type, type, JSON.stringify(frame.header));
    return frame;
  };
  const value = async (...given) => (await end("R", ...given)).value();
  const error = (...given) => end("E", ...given);
  return { manager, value, error };
}

test("arguments by name and by position", async (t) => {
  const { value, error } = await sample(t);
  assert.deepEqual(await value("options", { third: true, first: "a" }), ["a", 2, true, 4]);
  assert.deepEqual(await value("options", ["a", false, 7]), ["a", 7, false, 4]);
  const { header } = await error("options", [1, 2, 3, 4, 5]);
  assert.equal(header.message, "options takes 4 arguments, 5 were given");
});

test("arguments that a function cannot take", async (t) => {
  const { value, error } = await sample(t);
  for (const payload of ["", "{", '{"a":1} x', '{"a":NaN}', Buffer.from([0x22, 0xff, 0x22])]) {
    await error("text_of", payload);
  }
  for (const payload of ["5", "null", '"text"']) {
    assert.match((await error("text_of", payload)).header.message, /neither an object nor/);
  }
  assert.equal(await value("text_of", [1]), "x");
});

test("bytes and payloads", async (t) => {
  const { manager, value } = await sample(t);
  const octets = "application/octet-stream";
  assert.equal(await value("size_of", Buffer.from([0, 255]), { content_type: octets }), 2);
  const other = await manager.call("retype", "abc", { content_type: "text/plain" });
  assert.deepEqual([`${other.payload}`, other.header.content_type], ["cba", "text/plain+reversed"]);
  const frame = await manager.call("octets", [3]);
  assert.deepEqual([...frame.payload], [255, 255, 255]);
  assert.equal(frame.header.content_type, octets);
  const json = { content_type: "application/json; charset=utf-8" };
  assert.equal(await value("text_of", "[2]", json), "xx");
});

test("results", async (t) => {
  const { manager, value, error } = await sample(t);
  assert.equal(`${(await manager.call("make", ["nothing"])).payload}`, "null");
  assert.equal(await value("make", ["unicode"]), "pâté \u2028 🍣");
  assert.deepEqual(Object.keys((await manager.call("text_of", [1])).header), ["id"]);
  for (const what of ["big", "circle"]) {
    assert.equal((await error("make", [what])).header.type, "TypeError");
  }
  const room = WELCOME.frame_max - 3 - '{"id":10}'.length - 2;
  for (let id = 6; id < 10; id += 1) await value("text_of", [1]);
  assert.equal((await value("text_of", [room])).length, room);
  const { header } = await error("text_of", [room + 1]);
  assert.equal(header.type, "TooLarge");
  assert.ok(header.message.includes(WELCOME.frame_max), header.message);
});

test("errors have message, type and backtrace", async (t) => {
  const { value, error } = await sample(t);
  const { header, payload } = await error("raise_it", ["cause"]);
  assert.deepEqual([header.type, header.message, header.last], ["TypeError", "outer", undefined]);
  assert.match(`${payload}`, /^TypeError: outer\n +at .*sample\.mjs:\d+/);
  assert.match(`${payload}`, /\nCaused by: RangeError: inner\n/);
  assert.doesNotMatch(`${payload}`, /chassis\/node\/dist/);
  for (const [what, type, message] of [
    ["empty", "RangeError", "RangeError"],
    ["mute", "Error", "Error, whose message cannot be shown"],
    ["long", "Error", "\0".repeat(8192)],
    ["text", "string", "a text"],
    ["nothing", "undefined", "undefined"],
    ["surrogate", "Error", "\ufffd"],
  ]) {
    const frame = await error("raise_it", [what]);
    assert.deepEqual([frame.header.type, frame.header.message], [type, message]);
  }
  assert.equal((await error("recurse")).header.type, "RangeError");
  assert.equal(await value("text_of", [1]), "x");
});

test("what a call says of itself", async (t) => {
  const { value } = await sample(t);
  const more = { call: "5f3c2a9e00000007", key: "k", class: "low" };
  assert.deepEqual(await value("about_the_call", {}, more), ["5f3c2a9e00000007", "k", "low"]);
  assert.deepEqual(await value("about_the_call"), ["0000000000000002", null, "normal"]);
});

test("cancels reach the call they are for", async (t) => {
  const { manager, value } = await sample(t, 2);
  const calls = [manager.sendCall("wait_for_cancel"), manager.sendCall("wait_for_cancel")];
  manager.send("X", { id: 99, reason: "deadline" });
  for (const [id, reason] of [[calls[1], "client_left"], [calls[0], "shutdown"]]) {
    manager.send("P");
    assert.equal((await manager.receive()).type, "O");
    manager.send("X", { id, reason });
    const frame = await manager.receive();
    assert.deepEqual([frame.header.id, frame.value()], [id, [reason, true]]);
    manager.send("X", { id, reason }); // too late
    manager.send("F", { id, bytes: 5 });
  }
  assert.equal(await value("text_of", [1]), "x");
});

test("frames in pieces, together, and larger than a pipe", async (t) => {
  const { manager, value } = await sample(t);
  const call = pack("C", { id: 90, function: "text_of", timeout_ms: 1000 }, "[3]");
  for (const byte of call) manager.sendBytes(Buffer.from([byte]));
  assert.equal((await manager.receive()).value(), "xxx");
  manager.sendBytes(Buffer.concat([pack("P", {}), call, pack("P", { new: [1] })]));
  for (const type of ["O", "R", "O"]) assert.equal((await manager.receive()).type, type);
  const text = "é".repeat(200_000);
  assert.equal((await value("options", [text, 1]))[0], text);
});

test("a full pipe does not hold up the event loop", async (t) => {
  const { manager } = await sample(t, 3);
  manager.output.pause();
  const large = [manager.sendCall("text_of", [500_000]), manager.sendCall("text_of", [500_000])];
  manager.sendCall("log", ["alive"]);
  await manager.logged("alive"); // while nobody reads
  manager.output.resume();
  for (const id of large) {
    const frame = await manager.receive();
    assert.deepEqual([frame.header.id, frame.value().length], [id, 500_000]);
  }
});

for (const [name, sent, said] of [
  ["type", pack("Z", {}), '"Z"'],
  ["length", Buffer.from("7fffffff5000027b7d", "hex"), "2147483647"],
  ["header length", Buffer.from("000000055000097b7d", "hex"), "longer"],
  ["header", Buffer.from("000000055000027878", "hex"), "not JSON"],
  ["header type", Buffer.from("000000055000025b5d", "hex"), "not an object"],
  ["call without id", pack("C", { timeout_ms: 1 }, "[]"), "bad header"],
  ["two calls", Buffer.concat([1, 2].map((id) =>
    pack("C", { id, function: "wait_for_cancel", timeout_ms: 1 }, "[]"))), "slots were taken"],
]) {
  test(`it ends when the protocol is broken: ${name}`, async (t) => {
    const { manager } = await sample(t);
    manager.sendBytes(sent);
    assert.equal(await manager.status(), 1);
    assert.ok(manager.log().includes("ProtocolError"), manager.log());
    assert.ok(manager.log().includes(said), manager.log());
  });
}
