// JSON-RPC with npm's jayson, one call:
//
//     client.cjs http|websocket|tcp ADDRESS TOKEN AUTHORITY KIND FUNCTION ARGUMENTS TIMEOUT
const fs = require("node:fs");
const jayson = require("jayson");
const WebSocket = require("ws");

const [way, address, token, authority, kind, name, given] = process.argv.slice(2);
const [host, port] = address.split(":");
const ca = authority && fs.readFileSync(authority);
const headers = token ? { authorization: `Bearer ${token}` } : {};

async function client() {
    if (way === "websocket") {
        const ws = new WebSocket(`${ca ? "wss" : "ws"}://${address}/rpc`, { ca, headers });
        await new Promise((resolve, reject) => ws.on("open", resolve).on("error", reject));
        return jayson.client.websocket({ ws });
    }
    const options = { host, port: Number(port), path: "/rpc", headers, ca };
    if (way === "http") {
        return ca ? jayson.client.https(options) : jayson.client.http(options);
    }
    // To a socket, a path would be that of a file.
    delete options.path;
    return ca ? jayson.client.tls(options) : jayson.client.tcp(options);
}

function say(answer) {
    console.log(JSON.stringify(answer));
    process.exit();
}

client().then((connected) =>
    connected.request(`${kind}.${name}`, JSON.parse(given), (failed, error, result) => {
        if (failed) {
            // It has the status of HTTP for what never was a call.
            if (failed.code === undefined) {
                throw failed;
            }
            say({ error: String(failed.code) });
        }
        say(error ? { error: String(error.code), word: error.data.code } : { result });
    }),
);
