// Nested calls.

import assert from "node:assert/strict";
import test from "node:test";
import { manage, WELCOME } from "./fake_manager.mjs";

async function sample(t, slots = 1) {
  const manager = await manage(t, "sample.mjs", [slots]);
  /** Has the worker make a nested call; returns the parent's id and the frame. */
  const relay = async (given = [], options = undefined, target = "other.do") => {
    const parent = manager.sendCall("relay", { target, arguments: given, options });
    const frame = await manager.receive();
    assert.equal(frame.type, "N", JSON.stringify(frame.header));
    return { parent, frame };
  };
  const answer = async ({ parent, frame }, payload, header = {}) => {
    manager.send("A", { id: frame.header.id, ...header }, payload);
    const end = await manager.receive();
    assert.equal(end.header.id, parent);
    return end;
  };
  return { manager, relay, answer };
}

test("the frame, and a value", async (t) => {
  const { relay, answer } = await sample(t);
  const asked = await relay([1, "two"]);
  const { id, ...header } = asked.frame.header;
  assert.ok(Number.isInteger(id));
  assert.deepEqual(header, { parent: asked.parent, details: { kind: "other" }, function: "do" });
  assert.deepEqual(asked.frame.value(), [1, "two"]);
  assert.deepEqual((await answer(asked, '{"a": [1]}')).value(), [{ a: [1] }, false]);
});

test("the frame with everything", async (t) => {
  const { relay } = await sample(t);
  const options = {
    versions: { grammar: "5.12.0" }, tags: ["en"], roles: ["r"], timeout: 500.5, key: "k",
    class: "low", idempotent: true,
  };
  const { parent, frame } = await relay({ text: "t" }, options, "parse.linkage");
  delete frame.header.id;
  assert.deepEqual(frame.header, {
    parent,
    details: { kind: "parse", grammar: "5.12.0", tags: ["en"], roles: ["r"] },
    function: "linkage",
    timeout_ms: 500,
    key: "k",
    class: "low",
    idempotent: true,
  });
  assert.deepEqual(frame.value(), { text: "t" });
});

test("payloads both ways", async (t) => {
  const { relay, answer } = await sample(t);
  const asked = await relay([], { payload: "ping" });
  assert.equal(`${asked.frame.payload}`, "ping");
  assert.equal(asked.frame.header.content_type, "text/plain");
  const end = await answer(asked, "pong", { content_type: "text/html" });
  assert.deepEqual(end.value()[0], { payload: "pong", type: "text/html" });
});

test("errors", async (t) => {
  const { manager, relay } = await sample(t);
  const { frame } = await relay();
  manager.send("B", { id: frame.header.id, code: "no_pool", message: "none such" });
  const { header } = await manager.receive();
  assert.deepEqual([header.type, header.message], ["CallError", "no_pool: none such"]);
  const large = await manager.call("relay_large", [WELCOME.frame_max]);
  assert.match(large.header.message, /^too_large: /);
});

test("what cannot be asked for", async (t) => {
  const { manager } = await sample(t);
  for (const target of ["nodot", "käse.do", ".do", 5]) {
    assert.equal((await manager.call("relay", [target, []])).type, "E");
  }
  for (const options of [
    { timeout: "1" }, { class: "urgent" }, { key: 5 }, { idempotent: 1 }, { tags: "en" },
    { versions: [] }, { versions: { kind: "x" } }, { time: 5 },
  ]) {
    assert.equal((await manager.call("relay", ["other.do", [], options])).type, "E");
  }
});

test("pings, other answers, a cancel and a quit while it waits", async (t) => {
  const { manager, relay, answer } = await sample(t);
  const asked = await relay();
  manager.send("P");
  assert.equal((await manager.receive()).type, "O");
  manager.send("A", { id: asked.frame.header.id + 1 }, "0");
  manager.send("X", { id: asked.parent, reason: "client_left" });
  manager.send("Q");
  assert.deepEqual((await answer(asked, "1")).value(), [1, true]);
  assert.equal(await manager.status(), 0);
});

test("the end of the input while it waits", async (t) => {
  const { manager, relay } = await sample(t);
  await relay();
  manager.input.end();
  assert.match((await manager.receive()).header.message, /^stopping: /);
  assert.equal(await manager.status(), 0);
});

test("answers in another order", async (t) => {
  const { relay, manager, answer } = await sample(t, 2);
  const asked = [await relay([0]), await relay([1])];
  assert.deepEqual(asked.map(({ frame }) => frame.header.parent), asked.map((one) => one.parent));
  for (const at of [1, 0]) {
    assert.deepEqual((await answer(asked[at], `${at}`)).value(), [at, false]);
  }
  manager.send("Q");
  assert.equal(await manager.status(), 0);
});

test("a nested call whose parent has ended disturbs nobody", async (t) => {
  const { manager } = await sample(t);
  manager.sendCall("leave_nested");
  const nested = await manager.receive();
  assert.equal((await manager.receive()).value(), "left");
  manager.send("B", { id: nested.header.id, code: "busy", message: "m" });
  const late = await manager.call("use_ended_call");
  assert.match(late.value(), /only while the call runs/);
});
