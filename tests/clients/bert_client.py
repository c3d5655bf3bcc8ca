"""BERT-RPC with Erlang itself, npm's node-bertrpc, PyPI's bert and Debian's ruby-bert.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/bert_client.py
"""

import pathlib
import socket
import ssl
import struct
import sys

import harness
from bert import Atom, decode, encode

HERE = pathlib.Path(__file__).resolve().parent
FACEPLATES = {"bert": {}}


class Bert(harness.Client):
    """PyPI's bert. (Its bertrpc is for Python 2.)"""

    name = "PyPI's bert"
    protocol = column = "BERT-RPC"

    def call(self, kind, function, arguments, timeout_ms=None):
        with Connection(self.node, self.door) as connection:
            options = {"timeout_ms": timeout_ms, "token": self.token and self.token.encode()}
            for option, value in options.items():
                if value:
                    connection.say("info", Atom("katamari"), [(Atom(option), value)])
            connection.say("call", Atom(kind), Atom(function), list(arguments.values()))
            word, *rest = connection.hear()
            if word == "error":
                raise harness.Refused(f"{rest[0][0]} {rest[0][1]}")
            if word == "info":
                assert connection.hear() == ("reply", [])
                return [decode(piece) for piece in iter(connection.frame, b"")]
            return rest[0].decode() if isinstance(rest[0], bytes) else rest[0]


class Connection:
    def __init__(self, node, door=""):
        host, port = node.address("bert" + door).rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=harness.PATIENCE_S)
        if door == "-tls":
            context = ssl.create_default_context(cafile=node.mark("authority.pem"))
            self.socket = context.wrap_socket(self.socket, server_hostname=host)
        self.reader = self.socket.makefile("rb")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.reader.close()
        self.socket.close()

    def say(self, word, *rest):
        data = encode((Atom(word), *rest))
        self.socket.sendall(struct.pack(">I", len(data)) + data)

    def frame(self):
        (length,) = struct.unpack(">I", self.reader.read(4))
        return self.reader.read(length)

    def hear(self):
        return decode(self.frame())

    def call(self, function, *arguments):
        self.say("call", Atom("conform"), Atom(function), list(arguments))
        return self.hear()


def values(node):
    """Values of every type, and what is told of an error."""
    with Connection(node) as client:
        value = [1, -5, 2**70, 1.5, None, True, False, {"k": "v"}, "plain"]
        word, answer = client.call("same", value)
        assert word == "reply", answer
        assert answer == [1, -5, 2**70, 1.5, None, True, False, {b"k": b"v"}, b"plain"], answer
        # What is not ASCII has a type that only this library has.
        answer = client.call("same", "d\u00e9j\u00e0")
        assert answer == ("reply", "d\u00e9j\u00e0".encode()), answer
        word, (kind, code, name, detail, backtrace) = client.call("fail", "why")
        assert (word, kind, code, name) == ("error", "user", 0, b"ValueError")
        assert b"why" in detail and len(backtrace) > 1


def cast(node):
    """A cast."""
    with Connection(node) as client:
        client.say("cast", Atom("conform"), Atom("same"), [1])
        assert client.hear() == ("noreply",)


def cache(node):
    """What is cached, as bertrpc writes it: one list, and the token an atom."""
    with Connection(node) as client:
        client.say("info", Atom("cache"), [Atom("validation"), Atom("none")])
        command, options = client.call("same", 7)[1:]
        token = dict(options)["validation"]
        assert command == "cache" and client.hear() == ("reply", 7)
        client.say("info", Atom("cache"), [Atom("validation"), Atom(token.decode())])
        assert client.call("same", 7) == ("info", "valid", [])
        assert client.hear() == ("noreply",)


def many(node):
    """Many requests at a time."""
    with Connection(node) as client:
        for number in range(50):
            client.say("call", Atom("conform"), Atom("same"), [number])
        assert [client.hear() for _ in range(50)] == [("reply", number) for number in range(50)]


class Command(harness.Command):
    protocol = column = "BERT-RPC"
    faceplate = "bert"


class Erlang(Command):
    """{packet, 4} and the external term format."""

    name = "Erlang"
    needs = ("erl", "/usr/share/doc/erlang-ssl")
    command = ("escript", HERE / "bert/client.escript")
    more = ("values", "by_name", "many", "malformed", "cast", "cache", "streamed", "large")
    written = staticmethod(lambda arguments: harness.erlang_term(list(arguments.values())))


class Ruby(Command):
    name = "ruby-bert"
    needs = ("ruby", "/usr/share/doc/ruby-bert")
    command = ("ruby", "-W0", HERE / "bert/client.rb")
    more = ("values", "cast", "priority", "many")


class Node(Command):
    name = "node-bertrpc"
    needs = ("node", str(HERE / "bert/node_modules/.package-lock.json"))
    command = ("node", "--no-deprecation", HERE / "bert/client.cjs")
    more = ("values", "many")
    wishes = False
    text = "ASCII "  # of other text it counts characters, not bytes
    none = {"stream": "it gives its caller the second element of one term, whatever that is",
            "not_allowed": "it has calls alone, and no place for a token",
            "tls": "it has sockets of TCP alone"}


Bert.more = (values, cast, cache, many)
CLIENTS = (Bert, Erlang, Ruby, Node)

if __name__ == "__main__":
    harness.main(sys.modules[__name__])
