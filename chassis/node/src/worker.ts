// What a program uses to be a worker.

import {
  checkDetails, checkFunction, checkSlots, FUNCTIONS_MAX, type DetailsDescription,
} from "./describe.js";
import { requireManager } from "./descriptors.js";
import { DescriptionError } from "./errors.js";
import { Session, type Offered } from "./session.js";
import type { FunctionOptions, Handler, Parameters, WorkerOptions } from "./types.js";

/** A worker: define it, define its functions, then `await worker.run()`. */
export class Worker {
  readonly #details: DetailsDescription;
  readonly #slots: number;
  readonly #functions = new Map<string, Offered>();

  /** `kind` and the options are what it says it is. Throws `DescriptionError`. */
  constructor(kind: string, options: WorkerOptions = {}) {
    this.#details = checkDetails(kind, options);
    this.#slots = checkSlots(options.slots ?? 1);
  }

  /**
   * Offers a function to the cluster, and returns it as it is. It gets its arguments as one object,
   * and the `Call` that it runs for. Throws `DescriptionError`.
   */
  function<
    const P extends Parameters = {},
    const R extends string = string,
    F extends Handler<P, R> = Handler<P, R>,
  >(name: string, options: FunctionOptions<P, R>, run: F): F {
    const description = checkFunction(name, options, run);
    if (this.#functions.has(name)) {
      throw new DescriptionError(`function ${name} is defined twice`);
    }
    if (this.#functions.size === FUNCTIONS_MAX) {
      throw new DescriptionError(`more than ${FUNCTIONS_MAX} functions`);
    }
    this.#functions.set(name, { description, run });
    return run;
  }

  /**
   * Answers calls until the manager says quit; then resolves. Rejects with `ProtocolError` if the
   * manager breaks the protocol. Exits with status 64 if no manager started the program.
   */
  async run(): Promise<void> {
    if (this.#functions.size === 0) {
      throw new DescriptionError("a worker needs at least one function");
    }
    requireManager();
    const functions = [...this.#functions.values()].map((offered) => offered.description);
    const description = { ...this.#details, slots: this.#slots, functions };
    await new Session(description, this.#functions).run();
  }
}
