/** Who is called, and how. */
export interface Options {
  /** By when a call must be answered. */
  timeoutMs?: number;
  class?: "high" | "normal" | "low";
  /** Calls of one key stay with one of several equal pools. */
  key?: string;
  /** Whether a call may be run twice. */
  idempotent?: boolean;
  /** Cancels the call. */
  signal?: AbortSignal;
}

/** A call that failed. */
export class KatamariError extends Error {
  /** One of Katamari's error codes. */
  readonly code: string;
  /** The call's id. */
  readonly id: string | undefined;
  /** All that the node said. */
  readonly problem: Record<string, unknown>;

  constructor(code: string, message: string, problem: Record<string, unknown> = {}) {
    super(`${code}: ${message}`);
    this.name = "KatamariError";
    this.code = code;
    this.id = problem["id"] as string | undefined;
    this.problem = problem;
  }
}

function errorOf(body: string, status: number): KatamariError {
  try {
    const problem = JSON.parse(body) as Record<string, unknown>;
    if (typeof problem["code"] === "string") {
      return new KatamariError(problem["code"], String(problem["detail"]), problem);
    }
  } catch {
    // Not a problem of Katamari's.
  }
  return new KatamariError("protocol", `status ${status}: ${body}`);
}

class Client {
  private readonly url: string;
  private readonly token: string | undefined;

  /** `url` is that of a node; `token` is needed if the node has tokens. */
  constructor(url: string = "http://127.0.0.1:7480", token?: string) {
    this.url = url.replace(/\/$/, "");
    this.token = token;
  }

  private async send(path: string, args: unknown, options: Options): Promise<Response> {
    const raw = args instanceof Uint8Array;
    const headers: Record<string, string> = {
      "content-type": raw ? "application/octet-stream" : "application/json",
    };
    if (this.token !== undefined) headers["authorization"] = `Bearer ${this.token}`;
    if (options.timeoutMs !== undefined) headers["katamari-timeout-ms"] = String(options.timeoutMs);
    if (options.class !== undefined) headers["katamari-class"] = options.class;
    if (options.key !== undefined) headers["katamari-key"] = options.key;
    if (options.idempotent !== undefined) headers["katamari-idempotent"] = String(options.idempotent);
    const response = await fetch(`${this.url}/call/${path}`, {
      method: "POST",
      headers,
      body: raw ? (args as unknown as BodyInit) : JSON.stringify(args),
      signal: options.signal ?? null,
    });
    if (!response.ok) throw errorOf(await response.text(), response.status);
    return response;
  }

  protected async call(path: string, args: unknown, options: Options): Promise<unknown> {
    const response = await this.send(path, args, options);
    const type = response.headers.get("content-type") ?? "";
    if (type.startsWith("application/json")) return response.json();
    return new Uint8Array(await response.arrayBuffer());
  }

  protected async *stream(path: string, args: unknown, options: Options): AsyncGenerator<unknown, void> {
    const response = await this.send(path, args, options);
    const reader = response.body!.getReader();
    try {
      if (!(response.headers.get("content-type") ?? "").startsWith("text/event-stream")) {
        for (let read = await reader.read(); !read.done; read = await reader.read()) yield read.value;
        return;
      }
      const decoder = new TextDecoder();
      let rest = "";
      for (let read = await reader.read(); !read.done; read = await reader.read()) {
        rest += decoder.decode(read.value, { stream: true });
        const events = rest.split("\n\n");
        rest = events.pop() ?? "";
        for (const event of events) {
          const fields = event.split("\n").map((line) => line.split(/: ?(.*)/s));
          const name = fields.find(([field]) => field === "event")?.[1];
          const data = fields.filter(([field]) => field === "data").map((field) => field[1]).join("\n");
          if (name === "end") return;
          if (name === "error") throw errorOf(data, 0);
          if (data !== "") yield JSON.parse(data);
        }
      }
      throw new KatamariError("worker_lost", "the stream broke off");
    } finally {
      await reader.cancel().catch(() => undefined);
    }
  }
}
