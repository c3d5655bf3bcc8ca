// The exceptions of the chassis.

/** A nested call failed. `code` is one of Katamari's error codes, `text` the message alone. */
export class CallError extends Error {
  override readonly name = "CallError";

  constructor(readonly code: string, readonly text: string) {
    super(`${code}: ${text}`);
  }
}

/** Why a call was cancelled. */
export type CancelReason = "deadline" | "client_left" | "shutdown";

/** The answer to the running call is no longer wanted. */
export class Cancelled extends Error {
  override readonly name = "Cancelled";

  constructor(readonly reason: CancelReason) {
    super("cancelled");
  }
}

/** A result, or one piece of a stream, does not fit into a frame. */
export class TooLarge extends Error {
  override readonly name = "TooLarge";
}

/** The worker, or one of its functions, cannot be described to a manager. */
export class DescriptionError extends Error {
  override readonly name = "DescriptionError";
}

/** The manager sent what the protocol does not allow; the worker cannot go on. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}
