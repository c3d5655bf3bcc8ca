// The input of a call: what a function reads while it runs.

import { Readable } from "node:stream";
import type { Header } from "./frames.js";

/**
 * What was taken is granted again in portions of this part of the credit: fewer frames, and the
 * manager never runs out.
 */
const PORTIONS = 8;

/** What an input asks of the session. */
export interface Source {
  /** Allows the manager to send so many bytes more. */
  grant(bytes: number): void;
  /** It waits for a piece that has not come. */
  starve(): void;
}

/**
 * The input of a call: a stream of the bytes that come with a request. Iterate over its pieces, each
 * a `Buffer`, with `for await`, `read(size)` them like a file, or pipe it. Nothing of it moves before it is read.
 *
 * Reading fails with `Cancelled` once the call is cancelled.
 */
export class Input extends Readable {
  readonly #source: Source;
  readonly #credit: number;
  #pieces: Buffer[] = [];
  #ended: boolean;
  #granted = false;
  /** Bytes that were taken and not yet granted again. */
  #taken = 0;
  /** Somebody wants a piece, and none is there. */
  #waiting = false;
  #contentType: string | undefined;

  /** @internal */
  constructor(source: Source, coming: boolean, credit: number) {
    // What lies in the stream's own buffer would count as taken: it has none.
    super({ highWaterMark: 0 });
    this.#source = source;
    this.#credit = credit;
    this.#ended = !coming;
    // A function need not read what it was given; without a listener an error ends the process.
    this.on("error", () => {});
  }

  /** The content type of the whole; none if the client named none, and before the first piece. */
  get contentType(): string | undefined {
    return this.#contentType;
  }

  /** @internal */
  arrive(header: Header, payload: Buffer): void {
    this.#contentType ??= header["content_type"];
    if (this.destroyed) return;
    if (payload.length > 0) this.#pieces.push(payload);
    if (header["end"] === true) this.#ended = true;
    if (this.#waiting) this._read();
  }

  /** @internal */
  override _read(): void {
    const piece = this.#pieces.shift();
    this.#waiting = piece === undefined && !this.#ended;
    if (piece !== undefined) this.#taken += piece.length;
    this.#grant();
    if (piece !== undefined) this.push(piece);
    else if (this.#ended) this.push(null);
    else this.#source.starve();
  }

  /** @internal */
  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#pieces = [];
    this.#waiting = false;
    done(error);
  }

  /** Whether it waits for a piece. @internal */
  get waiting(): boolean {
    return this.#waiting;
  }

  #grant(): void {
    if (this.#ended) return;
    if (!this.#granted) {
      this.#granted = true;
      this.#source.grant(this.#credit);
    } else if (this.#taken >= Math.max(this.#credit / PORTIONS, 1)) {
      this.#source.grant(this.#taken);
      this.#taken = 0;
    }
  }
}
