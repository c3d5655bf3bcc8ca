// A manager for tests: one worker, real pipes on its descriptors 3 and 4.
//
// It is written from docs/protocol/worker.md and shares no code with the chassis.

import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { Socket } from "node:net";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));

/** Milliseconds to wait for anything a worker must do; reached only when it does not. */
const PATIENCE = 20_000;

export const WELCOME = { frame_max: 1 << 20, stream_credit: 4096, worker: 7 };

export class EndOfFrames extends Error {}

export function pack(type, header, payload = "") {
  const head = Buffer.from(JSON.stringify(header));
  const body = Buffer.from(payload);
  const prefix = Buffer.alloc(7);
  prefix.writeUInt32BE(3 + head.length + body.length, 0);
  prefix.write(type, 4, "latin1");
  prefix.writeUInt16BE(head.length, 5);
  return Buffer.concat([prefix, head, body]);
}

/** Both ends of a pipe, blocking. Node's own would be sockets. */
function makePipe(folder, name) {
  const path = join(folder, name);
  execFileSync("mkfifo", [path]);
  const both = openSync(path, constants.O_RDWR); // with which opening one end does not wait
  const ends = [openSync(path, constants.O_RDONLY), openSync(path, constants.O_WRONLY)];
  closeSync(both);
  return ends;
}

/** Starts `node script arguments` as a worker and plays its manager. */
export class Manager {
  #buffer = Buffer.alloc(0);
  #ended = false;
  #nextId = 0;
  #changed = () => {};

  constructor(script, given = [], options = {}) {
    const { protocol, pipes } = { protocol: "1", pipes: true, ...options };
    this.folder = mkdtempSync(join(tmpdir(), "katamari-"));
    const [toWorker, input] = makePipe(this.folder, "to");
    const [output, fromWorker] = makePipe(this.folder, "from");
    const log = openSync(join(this.folder, "log"), "a");
    const env = { ...process.env };
    delete env.KATAMARI_PROTOCOL;
    delete env.NODE_OPTIONS;
    delete env.NODE_TEST_CONTEXT;
    if (protocol !== undefined) env.KATAMARI_PROTOCOL = protocol;
    this.child = spawn(process.execPath, [join(HERE, script), ...given.map(String)], {
      env,
      detached: true,
      stdio: ["ignore", log, log, ...(pipes ? [toWorker, fromWorker] : [])],
    });
    this.exited = new Promise((resolve) => {
      this.child.on("exit", (status, signal) => resolve(signal ?? status));
    });
    for (const end of [toWorker, fromWorker, log]) closeSync(end);
    this.input = new Socket({ fd: input, readable: false, writable: true });
    this.input.on("error", () => {}); // a worker that is gone
    this.output = new Socket({ fd: output, readable: true, writable: false });
    this.output.on("data", (chunk) => {
      this.#buffer = Buffer.concat([this.#buffer, chunk]);
      this.#changed();
    });
    this.output.on("end", () => {
      this.#ended = true;
      this.#changed();
    });
  }

  /** Reads the hello, sends the welcome, returns the description. */
  async interrogate(welcome = {}) {
    const hello = await this.receive();
    if (hello.type !== "H" || hello.header.protocol !== 1) throw new Error(`no hello: ${hello}`);
    this.send("W", { ...WELCOME, ...welcome });
    return hello.value();
  }

  send(type, header = {}, payload = "") {
    this.sendBytes(pack(type, header, payload));
  }

  sendBytes(bytes) {
    this.input.write(bytes);
  }

  /** Sends a call; strings and bytes are payloads as they are. Returns the id. */
  sendCall(name, given = {}, more = {}) {
    this.#nextId += 1;
    const id = this.#nextId;
    const call = id.toString(16).padStart(16, "0");
    const raw = typeof given === "string" || given instanceof Uint8Array;
    this.send(
      "C",
      { id, call, function: name, timeout_ms: 60_000, class: "normal", ...more },
      raw ? given : JSON.stringify(given),
    );
    return id;
  }

  /** The next frame. */
  async receive() {
    for (;;) {
      const frame = this.#take();
      if (frame !== undefined) return frame;
      if (this.#ended) throw new EndOfFrames(this.log());
      const changed = new Promise((resolve) => (this.#changed = resolve));
      await this.#within(changed, "no frame");
    }
  }

  /** Sends a call and returns the frame that ends it, which must come next. */
  async call(name, given, more) {
    const id = this.sendCall(name, given, more);
    const frame = await this.receive();
    if (!"RE".includes(frame.type) || frame.header.id !== id) {
      throw new Error(`no end of call ${id}: ${frame.type} ${JSON.stringify(frame.header)}`);
    }
    return frame;
  }

  /** The status or the signal with which the worker ends. */
  status() {
    return this.#within(this.exited, "the worker lives on");
  }

  /** What the worker has written to stdout and stderr so far. */
  log() {
    return readFileSync(join(this.folder, "log"), "utf8");
  }

  /** Waits until the log holds a text. */
  async logged(text) {
    const end = performance.now() + PATIENCE;
    while (!this.log().includes(text)) {
      if (performance.now() > end) throw new Error(`no ${text} in the log:\n${this.log()}`);
      await setTimeout(5);
    }
  }

  /** Kills the worker and whatever it has started. */
  async close() {
    if (this.child.exitCode === null && this.child.signalCode === null) {
      process.kill(-this.child.pid, "SIGKILL");
    }
    await this.exited;
    this.input.destroy();
    this.output.destroy();
    rmSync(this.folder, { recursive: true });
  }

  async #within(promise, complaint) {
    const giveUp = new AbortController();
    const limit = setTimeout(PATIENCE, undefined, { signal: giveUp.signal }).then(() => {
      throw new Error(`${complaint}; the worker's log:\n${this.log()}`);
    });
    limit.catch(() => {}); // aborted
    try {
      return await Promise.race([promise, limit]);
    } finally {
      giveUp.abort();
    }
  }

  #take() {
    const buffer = this.#buffer;
    if (buffer.length < 7) return undefined;
    const end = 4 + buffer.readUInt32BE(0);
    if (buffer.length < end) return undefined;
    const body = 7 + buffer.readUInt16BE(5);
    this.#buffer = buffer.subarray(end);
    const payload = buffer.subarray(body, end);
    return {
      type: buffer.toString("latin1", 4, 5),
      header: JSON.parse(buffer.subarray(7, body)),
      payload,
      value: () => JSON.parse(payload),
    };
  }
}

/** A manager that is closed after the test; interrogated unless the options say otherwise. */
export async function manage(test, script, given, options = {}) {
  const manager = new Manager(script, given, options);
  test.after(() => manager.close());
  if (options.interrogate !== false) manager.hello = await manager.interrogate(options.welcome);
  return manager;
}
