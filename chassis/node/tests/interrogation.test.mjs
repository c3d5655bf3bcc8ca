// Hello, welcome, and a program that nobody interrogates.

import assert from "node:assert/strict";
import test from "node:test";
import { manage } from "./fake_manager.mjs";

test("the conformance worker describes itself", async (t) => {
  const { functions, ...hello } = (await manage(t, "conformance.mjs")).hello;
  assert.deepEqual(hello, {
    kind: "conformance", versions: { chassis: "node" }, tags: ["conformance"], roles: [], slots: 1,
  });
  assert.deepEqual(
    functions.map(({ name }) => name),
    "echo add fail sleep remaining count nested last print measure leak".split(" "),
  );
  assert.deepEqual(functions[1], {
    name: "add",
    doc: "Adds.",
    idempotent: true,
    stream: false,
    parameters: [
      { name: "a", type: "integer" },
      { name: "b", type: "integer" },
      { name: "c", type: "integer", required: false },
    ],
    result: "integer",
  });
  assert.deepEqual(functions.filter(({ stream }) => stream).map(({ name }) => name), ["count"]);
});

test("details, slots and parameters", async (t) => {
  const { functions, ...hello } = (await manage(t, "sample.mjs", [3])).hello;
  assert.deepEqual(hello, {
    kind: "sample", versions: { model: "1.2" }, tags: ["en", "de"], roles: ["r"], slots: 3,
  });
  assert.deepEqual(functions[0].parameters, [
    { name: "first", type: "any" },
    { name: "third", type: "any", doc: "a doc" },
    { name: "second", type: "any", required: false },
    { name: "fourth", type: "any", required: false },
  ]);
});

test("ping and quit before the welcome", async (t) => {
  const manager = await manage(t, "conformance.mjs", [], { interrogate: false, protocol: "1,2" });
  assert.deepEqual((await manager.receive()).header, { protocol: 1 });
  manager.send("P");
  assert.equal((await manager.receive()).type, "O");
  manager.send("Q");
  assert.equal(await manager.status(), 0);
});

test("a call before the welcome breaks the protocol", async (t) => {
  const manager = await manage(t, "conformance.mjs", [], { interrogate: false });
  await manager.receive();
  manager.sendCall("echo", [1]);
  assert.equal(await manager.status(), 1);
  assert.match(manager.log(), /ProtocolError: a call before the welcome/);
});

for (const [name, options, words] of [
  ["started by hand", { protocol: undefined }, "KATAMARI_PROTOCOL is not set"],
  ["a protocol that it does not speak", { protocol: "lines" }, '"lines"'],
  ["descriptors that are not open", { pipes: false }, "3 and 4 are not open"],
]) {
  test(`it refuses: ${name}`, async (t) => {
    const manager = await manage(t, "conformance.mjs", [], { ...options, interrogate: false });
    assert.equal(await manager.status(), 64);
    for (const word of [words, "katamari check -- node", "conformance.mjs"]) {
      assert.ok(manager.log().includes(word), manager.log());
    }
  });
}

test("programs that it starts get neither descriptors nor the promise of them", async (t) => {
  const manager = await manage(t, "conformance.mjs");
  assert.equal((await manager.call("leak")).value(), true);
  const other = await manage(t, "sample.mjs");
  assert.equal((await other.call("environment")).value(), "unset");
});
