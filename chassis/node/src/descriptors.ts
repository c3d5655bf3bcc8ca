// The two descriptors that a manager gives to a worker.
//
// Node itself sets close-on-exec on every descriptor that it finds when it starts, before any
// JavaScript runs. What is left to do when the package is imported is to take `KATAMARI_PROTOCOL`,
// which promises the descriptors, out of the environment that children inherit.

import { fstatSync, writeSync } from "node:fs";
import { basename } from "node:path";

export const FROM_MANAGER = 3;
export const TO_MANAGER = 4;
export const PROTOCOL = "1";

const STDERR = 2;
const EXIT_USAGE = 64; // EX_USAGE of sysexits.h, as the protocol asks

const offered = process.env["KATAMARI_PROTOCOL"];
delete process.env["KATAMARI_PROTOCOL"];

/** Exits with status 64 and an explanation if no manager started this program. */
export function requireManager(): void {
  const complaint = complain();
  if (complaint === undefined) return;
  const command = [process.execPath, ...process.execArgv, ...process.argv.slice(1)];
  command[0] = basename(process.execPath);
  writeSync(
    STDERR,
    `This program is a Katamari worker: ${complaint}\n` +
      `To try it: katamari check -- ${command.map(quote).join(" ")}\n`,
  );
  process.exit(EXIT_USAGE);
}

function complain(): string | undefined {
  if (offered === undefined) return "KATAMARI_PROTOCOL is not set, so no manager started it.";
  if (!offered.split(",").includes(PROTOCOL)) {
    return `the manager speaks "${offered}", and this chassis speaks version ${PROTOCOL} of ` +
      'dialect "json".';
  }
  if (!isPipe(FROM_MANAGER) || !isPipe(TO_MANAGER)) return "descriptors 3 and 4 are not open.";
  return undefined;
}

/** Not open when Node started, a number may by now be one of Node's own. */
function isPipe(descriptor: number): boolean {
  try {
    const stat = fstatSync(descriptor);
    return stat.isFIFO() || stat.isSocket();
  } catch {
    return false;
  }
}

function quote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
