// BERT-RPC with npm's node-bertrpc, which is of 2014: it prints through a function that Node has
// no more. It has calls alone, and gives its callers the second element of whatever comes back.
const assert = require("node:assert/strict");
const util = require("node:util");

util.puts = () => {};
const rpc = require("node-bertrpc");

const [host, port] = process.argv.slice(2);

function connected() {
    return new Promise((resolve) => {
        const client = rpc.connect(Number(port), host, () => resolve(client));
    });
}

const cases = {
    async call(ask) {
        assert.equal(await ask("add", [2, 3]), 5);
        const value = [1, -5, 1.5, null, true, false, "text", { k: "v" }];
        assert.deepEqual(await ask("echo", [value]), value);
    },
    async error(ask) {
        const error = await ask("fail", ["why"]);
        assert.equal(error[0].toString(), "user");
        assert.equal(error[2], "RuntimeError");
        assert.match(error[3], /why/);
    },
    async many(ask) {
        const numbers = Array.from({ length: 50 }, (_, number) => number);
        const answers = await Promise.all(numbers.map((number) => ask("echo", [number])));
        assert.deepEqual(answers, numbers);
    },
    async cancel(ask) {
        // Nobody waits for it: the connection ends under it.
        ask("sleep", [600_000]);
        console.log("waiting");
        await new Promise((resolve) => process.stdin.on("end", resolve).resume());
    },
};

async function main() {
    for (const [name, run] of Object.entries(cases)) {
        const client = await connected();
        const ask = (fun, args) =>
            new Promise((resolve) => client.call("conformance", fun, args, resolve));
        await run(ask);
        client.end();
        console.log(`  ok ${name}`);
    }
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
