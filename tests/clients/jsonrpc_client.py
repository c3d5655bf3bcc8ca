"""JSON-RPC over HTTP, WebSockets and TCP: with jsonrpclib-pelix, jsonrpcclient and websockets of PyPI,
jayson of npm, socat and nc.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/jsonrpc_client.py
"""

import json
import pathlib
import ssl
import subprocess
import sys

import harness
import jsonrpcclient
import jsonrpclib
import requests
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

HERE = pathlib.Path(__file__).resolve().parent
NODE_MODULES = HERE / "jsonrpc/node_modules/.package-lock.json"
# Who closes a connection of the second one has left; of the first it may have said its last byte only.
FACEPLATES = {"jsonrpc": {}, "leaving": {"protocol": "jsonrpc", "half_close": False}}


class JsonRpc(harness.Client):
    """What clients of JSON-RPC share."""

    column = "JSON-RPC"

    def url(self, scheme):
        scheme += "s" if self.door == "-tls" else ""
        return f"{scheme}://{self.node.address('http' + self.door)}/rpc"

    @property
    def context(self):
        """What trusts the node, where it has TLS."""
        authority = self.node.mark("authority.pem")
        return ssl.create_default_context(cafile=authority) if self.door == "-tls" else None

    def headers(self, timeout_ms=None):
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return headers | ({"katamari-timeout-ms": str(timeout_ms)} if timeout_ms else {})


def request(kind, function, arguments, timeout_ms=None):
    wish = {"katamari": {"timeout-ms": timeout_ms}} if timeout_ms else {}
    return jsonrpcclient.request(f"{kind}.{function}", arguments) | wish


def result(answer):
    parsed = jsonrpcclient.parse(answer)
    if isinstance(parsed, jsonrpcclient.Error):
        raise harness.Refused(parsed.code, parsed.data["code"])
    return parsed.result


class Pelix(JsonRpc):
    name = "jsonrpclib-pelix"
    protocol = "JSON-RPC over HTTP"
    stranger = "401"  # HTTP's own

    def proxy(self, timeout_ms=None):
        return jsonrpclib.ServerProxy(self.url("http"), headers=self.headers(timeout_ms),
                                      context=self.context)

    def call(self, kind, function, arguments, timeout_ms=None):
        method = getattr(getattr(self.proxy(timeout_ms), kind), function)
        try:
            return method(**arguments)
        except jsonrpclib.AppError as error:
            raise harness.Refused(error.args[0][0], error.data()["code"]) from None
        except jsonrpclib.TransportError as error:
            raise harness.Refused(error.args[1]) from None
        except jsonrpclib.ProtocolError as error:
            raise harness.Refused(error.args[0][0]) from None


def pelix_batches(node):
    """Batches. (To a notification it expects a 200, and gets a 204.)"""
    proxy = Pelix(node).proxy()
    batch = jsonrpclib.MultiCall(proxy)
    for number in range(20):
        batch.conform.echo(str(number))
    assert list(batch()) == [str(number) for number in range(20)]
    some = proxy.available_methods()
    assert {"echo", "types"} <= set(some), some


class Requests(JsonRpc):
    name = "jsonrpcclient, requests"
    protocol = "JSON-RPC over HTTP"
    stranger = "401"

    def call(self, kind, function, arguments, timeout_ms=None):
        answer = requests.post(self.url("http"), json=request(kind, function, arguments, timeout_ms),
                               headers=self.headers(), verify=str(self.node.mark("authority.pem")),
                               timeout=harness.PATIENCE_S)
        if answer.status_code != 200:
            raise harness.Refused(answer.status_code, answer.json()["code"])
        return result(answer.json())


def batches(node):
    """A batch of calls, errors and notifications, and one of notifications alone."""
    url = Requests(node).url("http")
    entries = [request("conform", "echo", ["a"]), jsonrpcclient.notification("conform.echo", ["b"]),
               request("nobody", "echo", ["c"])]
    first, second = jsonrpcclient.parse(requests.post(url, json=entries).json())
    assert (first.result, second.code) == ("a", -32001), (first, second)
    nothing = requests.post(url, json=[jsonrpcclient.notification("conform.echo", ["b"])])
    assert (nothing.status_code, nothing.content) == (204, b"")
    wrong = jsonrpcclient.parse(requests.post(
        url, data=b"{", headers={"content-type": "application/json"}).json())
    assert (wrong.code, wrong.id) == (-32700, None), wrong


class WebSockets(JsonRpc):
    name = "jsonrpcclient, websockets"
    protocol = "JSON-RPC over WebSockets"

    def connected(self):
        return connect(self.url("ws"), ssl=self.context, subprotocols=["jsonrpc"], max_size=None,
                       additional_headers=self.headers(), open_timeout=harness.PATIENCE_S)

    def call(self, kind, function, arguments, timeout_ms=None):
        with self.connected() as socket_:
            socket_.send(json.dumps(request(kind, function, arguments, timeout_ms)))
            return result(json.loads(socket_.recv(harness.PATIENCE_S)))


def many(node):
    """Calls side by side, a batch, a notification, and the token as a first message."""
    with WebSockets(node).connected() as opened:
        assert opened.subprotocol == "jsonrpc"
        asked = [request("conform", "echo", [str(number)]) for number in range(100)]
        for one in asked:
            opened.send(json.dumps(one))
        came = [json.loads(opened.recv(harness.PATIENCE_S)) for _ in asked]
        assert {one["id"]: one["result"] for one in came} == {
            one["id"]: one["params"][0] for one in asked}
        opened.send(json.dumps(jsonrpcclient.notification("conform.echo", ["x"])))
        opened.send(json.dumps(asked[:2]).encode())
        assert [one.result for one in jsonrpcclient.parse(json.loads(opened.recv(10)))] == ["0", "1"]
    with WebSockets(node, "-token").connected() as opened:
        show = jsonrpcclient.request("katamari.authenticate", {"token": harness.SECRET})
        for message in show, request("conform", "echo", ["x"]):
            opened.send(json.dumps(message))
        assert [result(json.loads(opened.recv(10))) for _ in "ab"] == [True, "x"]


def too_long(node):
    """A message that is too long, with the code that closes."""
    with WebSockets(node).connected() as opened:
        opened.send(json.dumps(request("conform", "echo", ["x" * 9_000_000])))
        try:
            while True:
                opened.recv(harness.PATIENCE_S)
        except ConnectionClosed as closed:
            assert closed.rcvd.code == 1009, closed


class Lines(JsonRpc):
    """JSON-RPC on a connection of its own, by a command that passes bytes on."""

    protocol = "JSON-RPC over TCP"

    def command(self, faceplate="jsonrpc"):
        raise NotImplementedError

    def begin(self, kind, function, arguments):
        said = json.dumps(request(kind, function, arguments)) + "\n"
        return harness.passed_on(self.command("leaving"), said)

    def call(self, kind, function, arguments, timeout_ms=None):
        messages = [request(kind, function, arguments, timeout_ms)]
        if self.token:
            messages.insert(0, jsonrpcclient.request("katamari.authenticate", {"token": self.token}))
        said = "".join(json.dumps(message) + "\n" for message in messages)
        done = subprocess.run(self.command(), input=said, stdout=subprocess.PIPE, check=True,
                              text=True, timeout=harness.PATIENCE_S)
        answers = {answer["id"]: answer for answer in map(json.loads, done.stdout.splitlines())}
        # Who has shown no token learns that with no id.
        return result(answers.get(messages[-1]["id"]) or answers[None])


class Socat(Lines):
    name = "socat"
    needs = ("socat",)

    def command(self, faceplate="jsonrpc"):
        address = self.node.address(faceplate + self.door)
        return harness.socat(self.node, self.door, address)


class Netcat(Lines):
    name = "nc"
    needs = ("/bin/nc.openbsd",)
    none = {"tls": "nc speaks no TLS"}

    def command(self, faceplate="jsonrpc"):
        host, port = self.node.address(faceplate + self.door).rsplit(":", 1)
        return ["/bin/nc.openbsd", "-N", host, port]


class Jayson(harness.Command):
    column = "JSON-RPC"
    needs = ("node", str(NODE_MODULES))
    wishes = False


class JaysonHttp(Jayson):
    name = "jayson"
    protocol = "JSON-RPC over HTTP"
    faceplate = "http"
    stranger = "401"
    command = ("node", HERE / "jsonrpc/client.cjs", "http")


class JaysonWebSocket(Jayson):
    name = "jayson, ws"
    protocol = "JSON-RPC over WebSockets"
    faceplate = "http"
    command = ("node", HERE / "jsonrpc/client.cjs", "websocket")


class JaysonTcp(Jayson):
    name = "jayson"
    protocol = "JSON-RPC over TCP"
    faceplate = "jsonrpc"
    command = ("node", HERE / "jsonrpc/client.cjs", "tcp")
    none = {"not_allowed": "it opens a connection for each request, so it has no place for a token"}

    def begin(self, kind, function, arguments):
        self.faceplate = "leaving"
        return super().begin(kind, function, arguments)


Pelix.more = (pelix_batches,)
Requests.more = (batches,)
WebSockets.more = (many, too_long)
CLIENTS = (Pelix, Requests, JaysonHttp, WebSockets, JaysonWebSocket, Socat, Netcat, JaysonTcp)

if __name__ == "__main__":
    harness.main(sys.modules[__name__])
