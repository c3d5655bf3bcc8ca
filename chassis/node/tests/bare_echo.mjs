// The least a worker in Node can do, for `bench.mjs` to compare with.

import { Socket } from "node:net";

const input = new Socket({ fd: 3, readable: true, writable: false });
const output = new Socket({ fd: 4, readable: false, writable: true });
input.on("data", (data) => output.write(data));
input.on("end", () => output.end());
