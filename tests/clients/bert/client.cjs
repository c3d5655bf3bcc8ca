// BERT-RPC with npm's node-bertrpc, which is of 2014: it prints through a function that Node has
// no more. It has calls alone, and gives its callers the second element of whatever comes back.
//
//     client.cjs ADDRESS TOKEN AUTHORITY KIND FUNCTION ARGUMENTS TIMEOUT
//     client.cjs more ADDRESS CASE...
const assert = require("node:assert/strict");
const util = require("node:util");

util.puts = () => {};
const rpc = require("node-bertrpc");

function connected(address) {
    const [host, port] = address.split(":");
    return new Promise((resolve) => {
        const client = rpc.connect(Number(port), host, () => resolve(client));
    });
}

const cases = {
    async values(ask) {
        assert.equal(await ask("add", [2, 3]), 5);
        const value = [1, -5, 1.5, null, true, false, "text", { k: "v" }];
        assert.deepEqual(await ask("same", [value]), value);
        const error = await ask("fail", ["why"]);
        assert.equal(error[2], "ValueError");
        assert.match(error[3], /why/);
    },
    async many(ask) {
        const numbers = Array.from({ length: 50 }, (_, number) => number);
        const answers = await Promise.all(numbers.map((number) => ask("same", [number])));
        assert.deepEqual(answers, numbers);
    },
};

async function main(address, names) {
    for (const name of names) {
        const client = await connected(address);
        const ask = (fun, args) =>
            new Promise((resolve) => client.call("conform", fun, args, resolve));
        await cases[name](ask);
        client.end();
    }
}

async function one(address, kind, name, given) {
    const client = await connected(address);
    const values = Object.values(JSON.parse(given));
    const answer = await new Promise((resolve) => client.call(kind, name, values, resolve));
    client.end();
    // An error is the tuple of its type, its code and more.
    return answer?.type === "tuple" ? { error: `${answer[0].value} ${answer[1]}` } : { result: answer };
}

const [first, second, third, ...rest] = process.argv.slice(2);
(first === "more" ? main(second, [third, ...rest]) : one(first, ...rest)).then(
    (answer) => answer && console.log(JSON.stringify(answer)),
    (error) => {
        console.error(error);
        process.exit(1);
    },
);
