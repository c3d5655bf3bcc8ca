// Frames: how bytes travel on both descriptors.
//
//     u32 length | u8 type | u16 header length | header (JSON) | payload
//
// The integers are big-endian; the length counts what follows it.

import { ProtocolError, TooLarge } from "./errors.js";
import { parse } from "./values.js";

/** The greatest length of a frame, in bytes, until the welcome says otherwise. */
export const FRAME_MAX_DEFAULT = 16 * 1024 * 1024 + 64 * 1024;

/** Bytes of a header: its length is a u16. */
const HEADER_MAX = 0xffff;

const LENGTH_SIZE = 4;
const PREFIX_SIZE = 7;

/** Bytes of the frame that the length counts and that are no header and no payload. */
export const COUNTED = PREFIX_SIZE - LENGTH_SIZE;

export type Header = Record<string, any>;

export interface Frame {
  type: string;
  header: Header;
  payload: Buffer;
}

const EMPTY = Buffer.alloc(0);

/** One frame. Throws `TooLarge` if its length would exceed `frameMax`. */
export function pack(
  type: string, header: string, payload: Uint8Array = EMPTY, frameMax = FRAME_MAX_DEFAULT,
): Buffer {
  const headerSize = Buffer.byteLength(header);
  const length = COUNTED + headerSize + payload.length;
  if (length > frameMax || headerSize > HEADER_MAX) {
    throw new TooLarge(
      `${payload.length} bytes with a header of ${headerSize} do not fit into a frame: ` +
        `at most ${frameMax} bytes, ${HEADER_MAX} of them the header`,
    );
  }
  const frame = Buffer.allocUnsafe(LENGTH_SIZE + length);
  frame.writeUInt32BE(length, 0);
  frame.write(type, LENGTH_SIZE, 1, "latin1");
  frame.writeUInt16BE(headerSize, LENGTH_SIZE + 1);
  frame.write(header, PREFIX_SIZE, headerSize, "utf8");
  frame.set(payload, PREFIX_SIZE + headerSize);
  return frame;
}

/**
 * Makes frames of the chunks in which bytes arrive. They are joined only once a frame is whole, so
 * that a large one is copied once.
 */
export class FrameReader {
  frameMax = FRAME_MAX_DEFAULT;
  private chunks: Buffer[] = [];
  private size = 0;
  /** Bytes without which it makes no sense to look. */
  private wanted = PREFIX_SIZE;

  push(chunk: Buffer): void {
    this.chunks.push(chunk);
    this.size += chunk.length;
  }

  /** The next frame, if it is whole. Throws `ProtocolError`. */
  next(): Frame | undefined {
    if (this.size < this.wanted) return undefined;
    const buffer = this.chunks.length === 1 ? this.chunks[0]! : Buffer.concat(this.chunks);
    const length = buffer.readUInt32BE(0);
    const headerSize = buffer.readUInt16BE(LENGTH_SIZE + 1);
    if (length > this.frameMax || headerSize > length - COUNTED) {
      throw new ProtocolError(
        `a frame of ${length} bytes with a header of ${headerSize}: above the limit, or the ` +
          "header is longer than the frame",
      );
    }
    const size = LENGTH_SIZE + length;
    if (buffer.length < size) {
      this.keep(buffer, size);
      return undefined;
    }
    this.keep(buffer.subarray(size), PREFIX_SIZE);
    const body = PREFIX_SIZE + headerSize;
    return {
      type: buffer.toString("latin1", LENGTH_SIZE, LENGTH_SIZE + 1),
      header: parseHeader(buffer.subarray(PREFIX_SIZE, body)),
      payload: buffer.subarray(body, size),
    };
  }

  private keep(rest: Buffer, wanted: number): void {
    this.chunks = rest.length === 0 ? [] : [rest];
    this.size = rest.length;
    this.wanted = wanted;
  }
}

function parseHeader(data: Buffer): Header {
  let header: unknown;
  try {
    header = parse(data);
  } catch (error) {
    throw new ProtocolError(`a header that is not JSON: ${(error as Error).message}`);
  }
  if (typeof header !== "object" || header === null || Array.isArray(header)) {
    throw new ProtocolError(`a header that is not an object: ${data.toString("utf8", 0, 100)}`);
  }
  return header;
}
