// The types of the protocol as types of TypeScript: what a function is given, and what it answers,
// follow from what it is declared with.

import type { Call } from "./call.js";
import type { Last, Payload } from "./values.js";

interface Words {
  string: string;
  integer: number;
  number: number;
  boolean: boolean;
  bytes: Uint8Array;
  object: Record<string, any>;
  any: any;
}

/** The values of a type in the protocol's notation: `ValueOf<"[string?]">` is `(string | null)[]`. */
export type ValueOf<T extends string> = string extends T
  ? any
  : T extends `${infer Inner}?`
    ? ValueOf<Inner> | null
    : T extends `[${infer Inner}]`
      ? ValueOf<Inner>[]
      : T extends `{${infer Inner}}`
        ? Record<string, ValueOf<Inner>>
        : T extends keyof Words
          ? Words[T]
          : never;

/** A parameter: its type, or more about it. */
export type Parameter = string | { type?: string; doc?: string; required?: boolean };

/** Parameters by name, in the order in which positional arguments bind. */
export type Parameters = Readonly<Record<string, Parameter>>;

type TypeOf<P> = P extends string ? ValueOf<P> : P extends { type: infer T extends string } ? ValueOf<T> : any;

type OptionalNames<P> = { [N in keyof P]: P[N] extends { required: false } ? N : never }[keyof P];

/** What a function with these parameters is given. */
export type ArgumentsOf<P> = {
  -readonly [N in Exclude<keyof P, OptionalNames<P>>]: TypeOf<P[N]>;
} & { -readonly [N in OptionalNames<P>]?: TypeOf<P[N]> };

/** A result, or a piece of a stream. */
type Value<R extends string> = ValueOf<R> | Payload | (string extends R ? void : null extends ValueOf<R> ? void : never);

type Answer<R extends string> = Value<R> | Last<ValueOf<R>>;

type Pieces<R extends string> = Iterable<Value<R>> | AsyncIterable<Value<R>>;

/** A function that a worker offers. Its second argument is the call that it runs for. */
export type Handler<P, R extends string> = (
  given: ArgumentsOf<P>,
  call: Call,
) => Answer<R> | Pieces<R> | Promise<Answer<R> | Pieces<R>>;

/** What a worker is. */
export interface Details {
  /** Such as `{ grammar: "5.12.0" }`. */
  versions?: Readonly<Record<string, string>>;
  tags?: readonly string[];
  roles?: readonly string[];
}

/** What a worker is, and how many calls it takes at a time: 1 unless it says. */
export interface WorkerOptions extends Details {
  slots?: number;
}

/** What a function says of itself. */
export interface FunctionOptions<P extends Parameters = Parameters, R extends string = string> {
  doc?: string;
  /** It does no harm to run a call twice. */
  idempotent?: boolean;
  /** It answers in pieces, which are the items of what it returns. Generators need not say so. */
  stream?: boolean;
  /** It reads the request while it comes, from `call.input`. */
  input?: boolean;
  parameters?: P;
  /** The type of the result; of a function that streams, of a piece. */
  result?: R;
}

/** What a nested call may change of what it inherits, and which workers it is for. */
export interface NestedOptions extends Details {
  /** Milliseconds; can only shorten the running call's own. */
  timeout?: number;
  /** Calls of one key go to the same version. */
  key?: string;
  /** Can only lower the class of the running call. */
  class?: "high" | "normal" | "low";
  /** It does no harm to run the call twice. */
  idempotent?: boolean;
}
