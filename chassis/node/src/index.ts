// The Node chassis of Katamari: makes a JavaScript or TypeScript program a worker.
//
// Start reading in `worker`, which holds what a program uses. Below it, from the inside out:
// `descriptors` looks for a manager, `frames` reads and packs frames, `values` turns payloads into
// values and back, `describe` checks what a program declares and `types` gives it types, `session`
// runs calls, `call` is what a function sees of one, and `input` what it reads beside.

export { Call } from "./call.js";
export { CallError, Cancelled, DescriptionError, ProtocolError, TooLarge } from "./errors.js";
export type { CancelReason } from "./errors.js";
export type {
  ArgumentsOf, Details, FunctionOptions, Handler, NestedOptions, Parameter, Parameters, ValueOf,
  WorkerOptions,
} from "./types.js";
export type { Input } from "./input.js";
export { Last, Payload } from "./values.js";
export { Worker } from "./worker.js";
