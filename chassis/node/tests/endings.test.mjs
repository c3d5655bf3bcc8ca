// How a worker ends: last, quit, the end of either descriptor, SIGTERM.

import assert from "node:assert/strict";
import test from "node:test";
import { EndOfFrames, manage } from "./fake_manager.mjs";

async function endsWell(manager) {
  assert.equal(await manager.status(), 0);
  await assert.rejects(manager.receive(), EndOfFrames);
  assert.match(manager.log(), /after run/); // `run` resolved
}

for (const slots of [1, 3]) {
  const start = (t) => manage(t, "sample.mjs", [slots]);

  test(`quit, ${slots} slots`, async (t) => {
    const manager = await start(t);
    manager.send("Q");
    await endsWell(manager);
  });

  test(`quit while a call runs, ${slots} slots`, async (t) => {
    const manager = await start(t);
    manager.sendCall("nap", [50]);
    manager.send("Q");
    assert.equal((await manager.receive()).value(), "rested");
    await endsWell(manager);
  });

  test(`the end of the input while a call runs, ${slots} slots`, async (t) => {
    const manager = await start(t);
    manager.sendCall("nap", [50]);
    manager.input.end();
    assert.equal((await manager.receive()).value(), "rested");
    await endsWell(manager);
  });

  test(`the end of the input within a frame, ${slots} slots`, async (t) => {
    const manager = await start(t);
    manager.input.end(Buffer.from("0000002043", "hex"));
    await endsWell(manager);
  });

  test(`nobody reads the answers, ${slots} slots`, async (t) => {
    const manager = await start(t);
    manager.output.destroy();
    manager.sendCall("text_of", [1]);
    assert.equal(await manager.status(), 0);
    assert.match(manager.log(), /after run/);
  });

  test(`last with a value that cannot be sent, ${slots} slots`, async (t) => {
    const manager = await start(t);
    const frame = await manager.call("make", ["last big"]);
    assert.deepEqual([frame.type, frame.header.last], ["E", true]);
    if (slots > 1) {
      assert.equal((await manager.call("text_of", [1])).value(), "x"); // was on its way
      manager.send("Q");
    }
    await endsWell(manager);
  });
}

test("a large answer is written whole before the end", async (t) => {
  const manager = await manage(t, "sample.mjs");
  manager.sendCall("text_of", [900_000]);
  manager.send("Q");
  assert.equal((await manager.receive()).value().length, 900_000);
  await endsWell(manager);
});

test("SIGTERM", async (t) => {
  const manager = await manage(t, "sample.mjs");
  assert.equal((await manager.call("text_of", [1])).value(), "x");
  manager.child.kill("SIGTERM");
  assert.equal(await manager.status(), "SIGTERM");
});
