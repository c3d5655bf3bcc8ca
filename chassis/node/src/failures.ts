// What a caller gets to see of an exception.

import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { COUNTED, pack } from "./frames.js";

/** Bytes of a message: JSON makes at most 6 bytes of one, a header holds 65535. */
const MESSAGE_MAX = 8 * 1024;

/** Characters of the exception's name, for the same reason. */
const TYPE_MAX = 200;

/** Bytes of a backtrace. */
const BACKTRACE_MAX = 64 * 1024;

/** Exceptions in a chain of causes that are shown. */
const CAUSES_MAX = 10;

const HERE = `${dirname(fileURLToPath(import.meta.url))}/`;

/** The error frame that ends a call. */
export function errorFrame(id: number, error: unknown, last: boolean, frameMax: number): Buffer {
  const fields = {
    id,
    message: cut(message(error), MESSAGE_MAX).toString(),
    type: type(error).slice(0, TYPE_MAX),
    last: last || undefined,
  };
  const header = JSON.stringify(fields);
  const room = frameMax - Buffer.byteLength(header) - COUNTED;
  const shown = cut(backtrace(error), Math.max(0, Math.min(BACKTRACE_MAX, room)));
  return pack("E", header, shown, frameMax);
}

function type(error: unknown): string {
  try {
    if (error instanceof Error) return text(error.name) || "Error";
  } catch {
    return "Error";
  }
  return typeof error;
}

function message(error: unknown): string {
  try {
    return text(error instanceof Error ? error.message : String(error)) || type(error);
  } catch { // a broken message must not cost the worker its life
    return `${type(error)}, whose message cannot be shown`;
  }
}

/** The stacks of the error and of its causes, without the chassis's own lines. */
function backtrace(error: unknown): string {
  const stacks: string[] = [];
  try {
    const seen = new Set<unknown>();
    for (let one = error; one instanceof Error && seen.size < CAUSES_MAX; one = one.cause) {
      if (seen.has(one)) break;
      seen.add(one);
      const lines = text(one.stack ?? "").split("\n");
      stacks.push(lines.filter((line) => !line.includes(HERE)).join("\n"));
    }
  } catch { // as above
    return "";
  }
  return stacks.join("\nCaused by: ");
}

/** A string that UTF-8 can carry: without halves of characters. */
function text(given: unknown): string {
  return Buffer.from(String(given)).toString();
}

/** The beginning of the text, as far as `size` bytes reach, in whole characters. */
function cut(text: string, size: number): Buffer {
  const bytes = Buffer.from(text);
  if (bytes.length <= size) return bytes;
  let end = size;
  while (end > 0 && (bytes[end]! & 0xc0) === 0x80) end -= 1;
  return bytes.subarray(0, end);
}
