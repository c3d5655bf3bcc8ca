// A session: one conversation between this worker and its manager.
//
// Both descriptors are pipes that the event loop watches, so that neither an empty one nor a full
// one ever holds it up. Calls run as they come, on the event loop, as many at a time as there are
// slots.

import { Socket } from "node:net";
import { performance } from "node:perf_hooks";
import { setImmediate } from "node:timers/promises";
import { Call, type Cluster } from "./call.js";
import { nestedHeader, type FunctionDescription } from "./describe.js";
import { FROM_MANAGER, PROTOCOL, TO_MANAGER } from "./descriptors.js";
import { CallError, ProtocolError, TooLarge } from "./errors.js";
import { errorFrame } from "./failures.js";
import { FRAME_MAX_DEFAULT, FrameReader, pack, type Frame, type Header } from "./frames.js";
import type { NestedOptions } from "./types.js";
import { decode, dump, encode, Last, Payload, type Encoded } from "./values.js";

/** Bytes that a stream may send before the first flow frame, unless the welcome says. */
const STREAM_CREDIT_DEFAULT = 256 * 1024;

/**
 * Milliseconds that a stream keeps the event loop for itself: its pieces may all be there already,
 * and cancels, pings and other calls should not have to wait for its end.
 */
const TURN_MAX_MS = 5;

const PONG = pack("O", "{}");

/** A function that the worker offers. */
export interface Offered {
  description: FunctionDescription;
  run: (given: any, call: Call) => unknown;
}

interface Nested {
  parent: Call;
  resolve: (value: unknown) => void;
  reject: (error: unknown) => void;
}

export class Session implements Cluster {
  private readonly input = new Socket({ fd: FROM_MANAGER, readable: true, writable: false });
  private readonly output = new Socket({ fd: TO_MANAGER, readable: false, writable: true });
  private readonly reader = new FrameReader();
  private readonly calls = new Map<number, Call>();
  private readonly nested = new Map<number, Nested>();
  private nestedId = 0;
  private frameMax = FRAME_MAX_DEFAULT;
  private streamCredit = STREAM_CREDIT_DEFAULT;
  private welcomed = false;
  private quitting = false;
  private ended = false;
  private readonly drains: (() => void)[] = [];
  private settle!: { resolve: () => void; reject: (error: unknown) => void };

  constructor(
    private readonly description: { slots: number },
    private readonly functions: ReadonlyMap<string, Offered>,
  ) {}

  /** The whole session. Resolves at its end; rejects if the manager breaks the protocol. */
  run(): Promise<void> {
    return new Promise((resolve, reject) => {
      this.settle = { resolve, reject };
      this.input.on("data", (chunk) => this.arrive(chunk));
      this.input.on("end", () => this.endOfInput());
      this.input.on("error", (error) => this.fail(error));
      this.output.on("drain", () => this.wakeWriters());
      // The manager is gone, as at the end of descriptor 3.
      this.output.on("error", () => this.leave());
      this.write(pack("H", `{"protocol":${PROTOCOL}}`, dump(this.description)));
    });
  }

  private arrive(chunk: Buffer): void {
    this.reader.push(chunk);
    this.output.cork(); // answers that are there at once leave with one write
    try {
      for (let frame = this.reader.next(); frame !== undefined; frame = this.reader.next()) {
        this.take(frame);
        if (this.ended) break;
      }
    } catch (error) {
      this.fail(error);
    } finally {
      this.output.uncork();
    }
  }

  private take({ type, header, payload }: Frame): void {
    switch (type) {
      case "C":
        return this.begin(header, payload);
      case "P":
        return this.write(PONG);
      case "Q":
        return this.quit();
      case "F":
      case "I":
      case "X":
        return this.tell(type, header, payload);
      case "A":
      case "B":
        return this.answer(type, header, payload);
      case "W":
        return this.welcome(header);
      default:
        throw new ProtocolError(`a frame of the unknown type ${JSON.stringify(type)}`);
    }
  }

  private welcome(header: Header): void {
    this.welcomed = true;
    this.frameMax = this.reader.frameMax = header["frame_max"] ?? this.frameMax;
    this.streamCredit = header["stream_credit"] ?? this.streamCredit;
  }

  private begin(header: Header, payload: Buffer): void {
    const { id, timeout_ms, function: name } = header;
    const offered = this.functions.get(name);
    if (!this.welcomed) throw new ProtocolError("a call before the welcome");
    if (!Number.isInteger(id) || !Number.isFinite(timeout_ms) || offered === undefined) {
      throw new ProtocolError(`a call with a bad header: ${JSON.stringify(header)}`);
    }
    if (this.calls.size === this.description.slots) {
      throw new ProtocolError(`a call came while all ${this.calls.size} slots were taken`);
    }
    const call = new Call(header, this.streamCredit, this);
    this.calls.set(id, call);
    try {
      const given = decode(payload, header["content_type"]);
      const result = offered.run(byName(offered.description, given), call);
      if (offered.description.stream) {
        this.stream(call, offered, result).then(
          (value) => this.succeed(call, value, true),
          (error) => this.end(call, errorFrame(call.number, error, false, this.frameMax)),
        );
      } else if (isPromise(result)) {
        result.then(
          (value) => this.succeed(call, value, false),
          (error) => this.end(call, errorFrame(call.number, error, false, this.frameMax)),
        );
      } else {
        this.succeed(call, result, false);
      }
    } catch (error) {
      this.end(call, errorFrame(call.number, error, false, this.frameMax));
    }
  }

  /** Ends a call with its result. */
  private succeed(call: Call, result: unknown, streams: boolean): void {
    const last = result instanceof Last;
    const value = last ? result.value : result;
    let frame: Buffer;
    try {
      if (streams && (value === undefined || value === null)) {
        frame = pack("R", fields(call, undefined, last));
      } else {
        const encoded = encode(value);
        frame = pack("R", fields(call, encoded.contentType, last), encoded.bytes, this.frameMax);
      }
    } catch (error) {
      frame = errorFrame(call.number, error, last, this.frameMax);
    }
    this.end(call, frame, last);
  }

  private end(call: Call, frame: Buffer, last = false): void {
    this.calls.delete(call.number);
    for (const [id, { parent }] of this.nested) {
      // They get no answer. Nor does whoever still waits for one: a rejection that nobody looks
      // at would end the process.
      if (parent === call) this.nested.delete(id);
    }
    this.write(frame);
    // With several slots calls can be on their way; the manager says quit when all have ended.
    if ((last && this.description.slots === 1) || (this.quitting && this.calls.size === 0)) {
      this.leave();
    }
  }

  /** Sends the pieces of a stream. Resolves with the value that comes last. */
  private async stream(call: Call, offered: Offered, result: unknown): Promise<unknown> {
    const pieces: any = await result;
    if (pieces instanceof Last) return pieces;
    const iterator: Iterator<unknown, unknown> | AsyncIterator<unknown, unknown> | undefined =
      pieces?.[Symbol.asyncIterator]?.() ?? pieces?.[Symbol.iterator]?.();
    if (iterator === undefined) {
      throw new TypeError(
        `${offered.description.name} streams: expected something iterable, such as what a ` +
          `generator returns, not ${typeof pieces}`,
      );
    }
    let complete = false;
    let turn = performance.now();
    try {
      for (;;) {
        const coming = iterator.next();
        const step = isPromise(coming) ? await coming : coming;
        if (step.done === true) {
          complete = true;
          await this.lastPiece(call, step.value);
          return step.value;
        }
        const encoded = encode(step.value);
        const frame = pack("S", fields(call, encoded.contentType), encoded.bytes, this.frameMax);
        if (performance.now() - turn > TURN_MAX_MS) {
          await setImmediate();
          turn = performance.now();
        }
        await this.takeCredit(call, encoded);
        this.write(frame);
      }
    } finally {
      // Runs the `finally` of a generator that was cut short.
      if (!complete) await iterator.return?.();
    }
  }

  /** A last value is a last piece, and needs credit like any other. */
  private async lastPiece(call: Call, value: unknown): Promise<void> {
    const plain = value instanceof Last ? value.value : value;
    if (plain !== undefined && plain !== null) await this.takeCredit(call, encode(plain));
  }

  /** Waits until the call may stream and the pipe has room. Throws `Cancelled`. */
  private async takeCredit(call: Call, encoded: Encoded): Promise<void> {
    call.checkCancelled();
    while (call.credit <= 0 || this.output.writableNeedDrain) {
      if (call.credit <= 0 && this.input.readableEnded) call.cancel("shutdown"); // none will come
      call.checkCancelled();
      await new Promise<void>((resolve) => {
        call.wake = resolve;
        if (this.output.writableNeedDrain) this.drains.push(resolve);
      });
      call.wake = undefined;
    }
    call.checkCancelled();
    call.credit -= encoded.bytes.length;
  }

  private tell(type: string, header: Header, payload: Buffer): void {
    const call = this.calls.get(header["id"]);
    if (call === undefined) return; // it has ended meanwhile
    if (type === "X") {
      call.cancel(header["reason"]);
    } else if (type === "I") {
      call.input.arrive(header, payload);
    } else {
      call.credit += header["bytes"];
      call.wake?.();
    }
  }

  ask(call: Call, target: string, given: unknown, options: NestedOptions): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.calls.get(call.number) !== call) {
        throw new Error("the cluster can be called only while the call runs");
      }
      if (this.ended || this.input.readableEnded) throw managerGone();
      const { bytes, contentType } = encode(given);
      const id = (this.nestedId += 1);
      const header = { id, parent: call.number, ...nestedHeader(target, options) };
      const frame = packNested({ ...header, content_type: contentType }, bytes, this.frameMax);
      this.nested.set(id, { parent: call, resolve, reject });
      this.write(frame);
    });
  }

  grant(call: Call, bytes: number): void {
    if (this.calls.get(call.number) !== call) return; // it has ended meanwhile
    this.write(pack("G", `{"id":${call.number},"bytes":${bytes}}`));
  }

  starve(call: Call): void {
    if (this.input.readableEnded) call.cancel("shutdown"); // nothing will ever come
  }

  private answer(type: string, header: Header, payload: Buffer): void {
    const nested = this.nested.get(header["id"]);
    if (nested === undefined) return; // its parent has ended meanwhile
    this.nested.delete(header["id"]);
    if (type === "B") {
      nested.reject(new CallError(String(header["code"]), String(header["message"])));
      return;
    }
    try {
      nested.resolve(decode(payload, header["content_type"]));
    } catch (error) {
      nested.reject(error);
    }
  }

  private quit(): void {
    this.quitting = true;
    if (this.calls.size === 0) this.leave();
  }

  private endOfInput(): void {
    for (const { reject } of this.nested.values()) reject(managerGone());
    this.nested.clear();
    for (const call of this.calls.values()) {
      if (call.starving) call.cancel("shutdown");
      call.wake?.();
    }
    this.quit();
  }

  private write(frame: Buffer): void {
    if (!this.ended) this.output.write(frame);
  }

  private wakeWriters(): void {
    for (const resolve of this.drains.splice(0)) resolve();
  }

  /** Ends the session once everything is written. */
  private leave(): void {
    if (this.ended) return;
    this.ended = true;
    this.input.destroy();
    for (const call of this.calls.values()) call.cancel("shutdown");
    this.wakeWriters();
    this.output.once("close", () => this.settle.resolve());
    if (this.output.destroyed) return;
    this.output.end(() => this.output.destroy());
  }

  private fail(error: unknown): void {
    this.ended = true;
    this.input.destroy();
    this.output.destroy();
    for (const call of this.calls.values()) call.cancel("shutdown");
    this.wakeWriters();
    this.settle.reject(error);
  }
}

/** Arguments by name, as a function takes them. */
function byName(description: FunctionDescription, given: unknown): unknown {
  const { name, parameters } = description;
  let positional: unknown[];
  if (given instanceof Payload) {
    const type = parameters[0]?.type;
    positional = [type === "bytes" || type === "bytes?" ? given.data : given];
  } else if (Array.isArray(given)) {
    positional = given;
  } else if (typeof given === "object" && given !== null) {
    return given;
  } else {
    throw new TypeError("arguments that are neither an object nor an array");
  }
  if (positional.length > parameters.length) {
    throw new TypeError(
      `${name} takes ${parameters.length} arguments, ${positional.length} were given`,
    );
  }
  return Object.fromEntries(positional.map((value, at) => [parameters[at]!.name, value]));
}

function fields(call: Call, contentType: string | undefined, last = false): string {
  if (contentType === undefined && !last) return `{"id":${call.number}}`;
  const type = contentType;
  return JSON.stringify({ id: call.number, content_type: type, last: last || undefined });
}

function packNested(header: Header, payload: Uint8Array, frameMax: number): Buffer {
  try {
    return pack("N", JSON.stringify(header), payload, frameMax);
  } catch (error) {
    throw error instanceof TooLarge ? new CallError("too_large", error.message) : error;
  }
}

function managerGone(): CallError {
  return new CallError("stopping", "the manager has closed the connection");
}

function isPromise<T>(value: T | PromiseLike<T>): value is PromiseLike<T> {
  return typeof (value as PromiseLike<T> | undefined)?.then === "function";
}
