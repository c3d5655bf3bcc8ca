// What a call costs in the chassis: echo of a small object, one call at a time.
//
//     node chassis/node/bench.mjs [calls]
//
// Three numbers: the time of a round trip, that of a worker which only reads and writes (what the
// pipes, the scheduler and this Node manager cost), and the processor time the worker spends on a
// call. The difference of the first two is the chassis.

import { readFileSync } from "node:fs";
import { Manager, pack } from "./tests/fake_manager.mjs";

const WARM_UP = 5000;

/** Ticks of a second in /proc/PID/stat, on Linux. */
const TICKS = 100;

const CALL = pack(
  "C",
  { id: 1, call: "5f3c2a9e00000007", function: "echo", timeout_ms: 1990, class: "normal" },
  '{"value":{"text":"hello","limit":5,"tags":["a","b"]}}',
);

/** Microseconds of processor time that a process has used. */
function spent(pid) {
  const fields = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" ");
  return ((Number(fields[11]) + Number(fields[12])) / TICKS) * 1e6;
}

/** Microseconds of a round trip. */
async function run(manager, count) {
  const begun = performance.now();
  for (let at = 0; at < count; at += 1) {
    manager.sendBytes(CALL);
    await manager.receive();
  }
  return ((performance.now() - begun) / count) * 1000;
}

const calls = Number(process.argv[2] ?? 50_000);
for (const script of ["bare_echo.mjs", "conformance.mjs"]) {
  const manager = new Manager(script);
  if (script === "conformance.mjs") await manager.interrogate();
  await run(manager, WARM_UP);
  const before = spent(manager.child.pid);
  const roundTrip = await run(manager, calls);
  const cpu = (spent(manager.child.pid) - before) / calls;
  console.log(
    `${script.padEnd(16)} ${roundTrip.toFixed(2)} us round trip ${cpu.toFixed(2)} us CPU`,
  );
  await manager.close();
}
