// The call that a function runs for.

import { performance } from "node:perf_hooks";
import { Cancelled, type CancelReason } from "./errors.js";
import type { Header } from "./frames.js";
import { Input } from "./input.js";
import type { NestedOptions } from "./types.js";
import type { Payload } from "./values.js";

/** What a call needs of the session that runs it. */
export interface Cluster {
  ask(call: Call, target: string, given: unknown, options: NestedOptions): Promise<unknown>;
  /** Allows the manager to send so many bytes more of the call's input. */
  grant(call: Call, bytes: number): void;
  /** The call waits for its input. */
  starve(call: Call): void;
}

/** The call that a function runs for: its second argument. */
export class Call {
  /** Bytes that its stream may still send. @internal */
  credit: number;
  /** Lets its stream look again at credit and cancellation. @internal */
  wake: (() => void) | undefined;
  /** On the clock of `performance.now`. */
  readonly #deadline: number;
  readonly #header: Header;
  readonly #cluster: Cluster;
  #reason: CancelReason | undefined;
  #controller: AbortController | undefined;
  #input: Input | undefined;
  /** Bytes that its input may have on their way. */
  readonly #window: number;

  /** @internal */
  constructor(header: Header, credit: number, cluster: Cluster) {
    this.#header = header;
    this.#deadline = performance.now() + header["timeout_ms"];
    this.#cluster = cluster;
    this.credit = credit;
    this.#window = credit;
  }

  /** Its number on the connection. @internal */
  get number(): number {
    return this.#header["id"];
  }

  /** Its public id, the one in the manager's logs. */
  get id(): string {
    return this.#header["call"];
  }

  /** Its key, if it has one. */
  get key(): string | undefined {
    return this.#header["key"];
  }

  /** Its class. */
  get class(): "high" | "normal" | "low" {
    return this.#header["class"];
  }

  /**
   * What the function reads while it comes: empty unless the function is declared with `input` and
   * the caller sends something.
   */
  get input(): Input {
    if (this.#input === undefined) {
      const source = {
        grant: (bytes: number) => this.#cluster.grant(this, bytes),
        starve: () => this.#cluster.starve(this),
      };
      this.#input = new Input(source, this.#header["input"] === true, this.#window);
      if (this.#reason !== undefined) this.#input.destroy(new Cancelled(this.#reason));
    }
    return this.#input;
  }

  /** Milliseconds until the deadline, 0 after it. */
  remaining(): number {
    return Math.max(0, this.#deadline - performance.now());
  }

  /** Whether nobody wants the answer any more. */
  get cancelled(): boolean {
    return this.#reason !== undefined;
  }

  /** Why, once it is cancelled. */
  get cancelReason(): CancelReason | undefined {
    return this.#reason;
  }

  /** Throws `Cancelled` if nobody wants the answer any more. */
  checkCancelled(): void {
    if (this.#reason !== undefined) throw new Cancelled(this.#reason);
  }

  /** Aborted with a `Cancelled` when nobody wants the answer any more. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController();
      if (this.#reason !== undefined) this.#controller.abort(new Cancelled(this.#reason));
    }
    return this.#controller.signal;
  }

  /**
   * Calls `"kind.function"` in the cluster. Arguments go by name as an object, by position as an
   * array, or as one `Payload` or `Uint8Array`. The value of a function that streams is the array of
   * its pieces. Rejects with `CallError`.
   */
  cluster(
    target: string,
    given: object | readonly unknown[] | Payload | Uint8Array = {},
    options: NestedOptions = {},
  ): Promise<any> {
    return this.#cluster.ask(this, target, given, options);
  }

  /** @internal */
  cancel(reason: CancelReason): void {
    if (this.#reason !== undefined) return;
    this.#reason = reason;
    this.#controller?.abort(new Cancelled(reason));
    this.#input?.destroy(new Cancelled(reason));
    this.wake?.();
  }

  /** Whether its function waits for input. @internal */
  get starving(): boolean {
    return this.#input?.waiting === true;
  }
}
