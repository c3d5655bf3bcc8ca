// Payloads: values as JSON, or bytes with a content type.

import { isUtf8 } from "node:buffer";

export const JSON_TYPE = "application/json";
export const OCTETS = "application/octet-stream";

/** Bytes that are not JSON, as an argument, a result or a piece of a stream. */
export class Payload {
  constructor(readonly data: Uint8Array, readonly contentType: string) {
    if (!(data instanceof Uint8Array)) {
      throw new TypeError(`data: expected a Uint8Array, not ${typeof data}`);
    }
    if (typeof contentType !== "string" || contentType === "") {
      throw new TypeError(`contentType: expected text, not ${JSON.stringify(contentType)}`);
    }
  }
}

/**
 * Returned by a function: answer with `value`, then exit. No further call comes, and the manager
 * starts a replacement.
 */
export class Last<T = unknown> {
  constructor(readonly value?: T) {}
}

/** Bytes as they travel, and their content type if they are not JSON. */
export interface Encoded {
  bytes: Uint8Array;
  contentType: string | undefined;
}

/** The one JSON value in `data`. Throws `SyntaxError` if it is anything else. */
export function parse(data: Buffer): unknown {
  if (!isUtf8(data)) throw new SyntaxError("text that is not UTF-8");
  return JSON.parse(data.toString("utf8"));
}

/** JSON text of a value; undefined is null. Throws `TypeError` for circles and big integers. */
export function dump(value: unknown): Buffer {
  return Buffer.from(JSON.stringify(value) ?? "null");
}

/** The value of a payload; a `Payload` if its content type is not JSON. */
export function decode(data: Buffer, contentType: string | undefined): unknown {
  if (contentType === undefined || contentType.split(";", 1)[0]!.trim() === JSON_TYPE) {
    return parse(data);
  }
  return new Payload(data, contentType);
}

/** The payload of a value. */
export function encode(value: unknown): Encoded {
  if (value instanceof Payload) return { bytes: value.data, contentType: value.contentType };
  if (value instanceof Uint8Array) return { bytes: value, contentType: OCTETS };
  return { bytes: dump(value), contentType: undefined };
}
