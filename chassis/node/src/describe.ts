// The description of a worker: what its hello says of it and of its functions.
//
// The limits are the protocol's. They are checked when a program defines something, so that a
// mistake shows as a stack that points at the line to mend, not at the manager.

import { types } from "node:util";
import { DescriptionError } from "./errors.js";
import type { Details, FunctionOptions, NestedOptions, Parameters } from "./types.js";

const NAME = /^[a-zA-Z0-9_-]{1,100}$/;
const RESERVED_KEYS = ["kind", "tags", "roles"];

/** Version keys, tags and roles of a worker, each. */
const DETAILS_MAX = 32;

/** Bytes of a version. */
const VERSION_SIZE_MAX = 200;

const SLOTS_MAX = 1024;
export const FUNCTIONS_MAX = 1000;
const PARAMETERS_MAX = 100;
const PARAMETER_NAME_MAX = 100;

/** Bytes of a doc. */
const DOC_SIZE_MAX = 16 * 1024;

const TYPES = ["string", "integer", "number", "boolean", "bytes", "object", "any"];

/** Levels of [] and {} around a type. */
const TYPE_DEPTH_MAX = 16;

const CLASSES = ["high", "normal", "low"];

/** Milliseconds, thirty years: longer than any call has, and no clock overflows by it. */
const TIMEOUT_MAX = 1e12;

interface ParameterDescription {
  name: string;
  type: string;
  doc?: string;
  required?: false;
}

export interface FunctionDescription {
  name: string;
  doc: string;
  idempotent: boolean;
  stream: boolean;
  input?: true;
  parameters: ParameterDescription[];
  result: string;
}

export interface DetailsDescription {
  kind: string;
  versions: Record<string, string>;
  tags: string[];
  roles: string[];
}

export function checkFunction(
  name: string, options: FunctionOptions, run: (...given: any[]) => unknown,
): FunctionDescription {
  checkName("function", name);
  if (typeof run !== "function") {
    throw new DescriptionError(`${name}: expected a function last, not ${shown(run)}`);
  }
  checkKeys(name, options, ["doc", "idempotent", "stream", "input", "parameters", "result"]);
  const generates = types.isGeneratorFunction(run);
  return {
    name,
    doc: checkDoc(name, options.doc ?? ""),
    idempotent: checkBoolean(`${name}: idempotent`, options.idempotent ?? false),
    stream: checkBoolean(`${name}: stream`, options.stream ?? generates),
    // The protocol's default is not written.
    ...(checkBoolean(`${name}: input`, options.input ?? false) && { input: true }),
    parameters: checkParameters(name, options.parameters ?? {}),
    result: checkType(`${name}: result`, options.result ?? "any"),
  };
}

export function checkDetails(kind: string, details: Details): DetailsDescription {
  return {
    kind: checkName("kind", kind),
    versions: checkVersions(details.versions ?? {}),
    tags: checkLabels("tags", details.tags ?? []),
    roles: checkLabels("roles", details.roles ?? []),
  };
}

export function checkSlots(slots: number): number {
  if (Number.isInteger(slots) && slots >= 1 && slots <= SLOTS_MAX) return slots;
  throw new DescriptionError(`slots: expected 1 to ${SLOTS_MAX}, not ${shown(slots)}`);
}

/** The header of a nested call, but for its ids. Throws `DescriptionError` or `TypeError`. */
export function nestedHeader(target: string, options: NestedOptions): Record<string, unknown> {
  if (typeof target !== "string" || !target.includes(".")) {
    throw new TypeError(`expected "kind.function", not ${shown(target)}`);
  }
  const known = ["versions", "tags", "roles", "timeout", "key", "class", "idempotent"];
  checkKeys("nested call", options, known);
  const dot = target.indexOf(".");
  const { kind, versions, tags, roles } = checkDetails(target.slice(0, dot), options);
  const { timeout, key, idempotent } = options;
  expectType("timeout", "milliseconds", timeout, Number.isFinite(timeout) || timeout === Infinity);
  expectType("key", "a string", key, typeof key === "string");
  expectType("class", `one of ${CLASSES}`, options.class, CLASSES.includes(options.class!));
  expectType("idempotent", "a boolean", idempotent, typeof idempotent === "boolean");
  return {
    details: {
      ...versions,
      kind,
      tags: tags.length > 0 ? tags : undefined,
      roles: roles.length > 0 ? roles : undefined,
    },
    function: target.slice(dot + 1),
    timeout_ms:
      timeout === undefined || timeout === Infinity
        ? undefined
        : Math.trunc(Math.min(Math.max(timeout, 0), TIMEOUT_MAX)),
    key,
    class: options.class,
    idempotent,
  };
}

function expectType(what: string, expected: string, given: unknown, fits: boolean): void {
  if (given !== undefined && !fits) {
    throw new TypeError(`${what}: expected ${expected}, not ${shown(given)}`);
  }
}

function checkName(what: string, name: string): string {
  if (typeof name === "string" && NAME.test(name)) return name;
  throw new DescriptionError(
    `${what} ${shown(name)}: expected 1 to 100 characters of a-z A-Z 0-9 _ -`,
  );
}

function checkVersions(versions: Readonly<Record<string, string>>): Record<string, string> {
  checkObject("versions", versions);
  checkCount("version keys", Object.keys(versions).length);
  for (const [key, version] of Object.entries(versions)) {
    checkName("version key", key);
    if (RESERVED_KEYS.includes(key)) {
      throw new DescriptionError(`version key ${key} means something else`);
    }
    if (typeof version !== "string" || Buffer.byteLength(version) > VERSION_SIZE_MAX) {
      throw new DescriptionError(
        `version ${key}: expected a string of at most ${VERSION_SIZE_MAX} bytes, not ` +
          shown(version),
      );
    }
  }
  return { ...versions };
}

function checkLabels(what: string, labels: readonly string[]): string[] {
  if (!Array.isArray(labels)) {
    throw new DescriptionError(`${what}: expected an array, not ${shown(labels)}`);
  }
  checkCount(what, labels.length);
  return labels.map((label) => checkName(what, label));
}

function checkCount(what: string, count: number): void {
  if (count > DETAILS_MAX) {
    throw new DescriptionError(`${count} ${what}: at most ${DETAILS_MAX} are allowed`);
  }
}

/** Required ones first, as positional arguments bind. */
function checkParameters(name: string, parameters: Parameters): ParameterDescription[] {
  checkObject(`${name}: parameters`, parameters);
  const all = Object.entries(parameters).map(([key, given]) => {
    const what = `${name}, ${key}`;
    const said = typeof given === "string" ? { type: given } : given;
    checkKeys(what, said, ["type", "doc", "required"]);
    if (key === "" || [...key].length > PARAMETER_NAME_MAX) {
      throw new DescriptionError(
        `${name}: expected parameter names of 1 to ${PARAMETER_NAME_MAX} characters, not ` +
          shown(key),
      );
    }
    const described: ParameterDescription = {
      name: key,
      type: checkType(what, said.type ?? "any"),
    };
    if (said.doc !== undefined) described.doc = checkDoc(what, said.doc);
    if (!checkBoolean(`${what}: required`, said.required ?? true)) described.required = false;
    return described;
  });
  if (all.length > PARAMETERS_MAX) {
    throw new DescriptionError(
      `${name}: ${all.length} parameters, ${PARAMETERS_MAX} are allowed`,
    );
  }
  const optional = all.filter((parameter) => parameter.required === false);
  return [...all.filter((parameter) => parameter.required !== false), ...optional];
}

/** A type in the notation of the protocol, such as "{[string?]}". */
function checkType(what: string, type: string): string {
  let rest = String(type);
  for (let depth = 0; depth <= TYPE_DEPTH_MAX; depth += 1) {
    if (rest.endsWith("?")) rest = rest.slice(0, -1);
    const inner = /^\[(.*)\]$/s.exec(rest) ?? /^\{(.*)\}$/s.exec(rest);
    if (inner === null) {
      if (TYPES.includes(rest)) return type;
      break;
    }
    rest = inner[1]!;
  }
  throw new DescriptionError(
    `${what}: expected a type (${TYPES.join(", ")}, [T], {T} or T?, at most ` +
      `${TYPE_DEPTH_MAX} levels deep), not ${shown(type)}`,
  );
}

function checkDoc(what: string, doc: string): string {
  if (typeof doc === "string" && Buffer.byteLength(doc) <= DOC_SIZE_MAX) return doc;
  throw new DescriptionError(
    `${what}: expected a doc of at most ${DOC_SIZE_MAX} bytes, not ${shown(doc)}`,
  );
}

function checkBoolean(what: string, given: boolean): boolean {
  if (typeof given === "boolean") return given;
  throw new DescriptionError(`${what}: expected true or false, not ${shown(given)}`);
}

function checkKeys(what: string, given: object, known: string[]): void {
  checkObject(what, given);
  const unknown = Object.keys(given).filter((key) => !known.includes(key));
  if (unknown.length > 0) {
    throw new DescriptionError(`${what}: expected the keys ${known.join(", ")}, not ${unknown}`);
  }
}

function checkObject(what: string, given: unknown): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new DescriptionError(`${what}: expected an object, not ${shown(given)}`);
  }
}

function shown(given: unknown): string {
  const text = typeof given === "function" ? "a function" : JSON.stringify(given) ?? String(given);
  return text.length > 100 ? `${text.slice(0, 100)}...` : text;
}
