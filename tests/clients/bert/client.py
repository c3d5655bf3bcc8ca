"""BERT-RPC with PyPI's bert. (Its bertrpc is for Python 2.)"""

import socket
import struct
import sys

from bert import Atom, decode, encode

ADDRESS = (sys.argv[1], int(sys.argv[2]))


class Client:
    def __init__(self):
        self.socket = socket.create_connection(ADDRESS, timeout=30)
        self.reader = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(struct.pack(">I", len(data)) + data)

    def say(self, word, *rest) -> None:
        self.send(encode((Atom(word), *rest)))

    def frame(self) -> bytes:
        (length,) = struct.unpack(">I", self.reader.read(4))
        return self.reader.read(length)

    def hear(self):
        return decode(self.frame())

    def call(self, function, *arguments):
        self.say("call", Atom("conformance"), Atom(function), list(arguments))
        return self.hear()


def call(client):
    value = [1, -5, 2**70, 1.5, None, True, False, {"k": "v"}, "plain"]
    word, answer = client.call("echo", value)
    assert word == "reply", answer
    assert answer == [1, -5, 2**70, 1.5, None, True, False, {b"k": b"v"}, b"plain"], answer
    # What is not ASCII has a type that only this library has.
    answer = client.call("echo", "d\u00e9j\u00e0")
    assert answer == ("reply", "d\u00e9j\u00e0".encode()), answer


def error(client):
    word, (kind, code, name, detail, backtrace) = client.call("fail", "why")
    assert (word, kind, code, name) == ("error", "user", 0, b"RuntimeError")
    assert b"why" in detail and len(backtrace) > 1


def deadline(client):
    client.say("info", Atom("katamari"), [(Atom("timeout_ms"), 100)])
    word, (kind, code, name, *_) = client.call("sleep", 60_000)
    assert (word, kind, code, name) == ("error", "server", 103, b"deadline")


def cast(client):
    client.say("cast", Atom("conformance"), Atom("echo"), [1])
    assert client.hear() == ("noreply",)


def cache(client):
    # As bertrpc writes it: one list, and the token an atom.
    client.say("info", Atom("cache"), [Atom("validation"), Atom("none")])
    command, options = client.call("echo", 7)[1:]
    token = dict(options)["validation"]
    assert command == "cache" and client.hear() == ("reply", 7)
    client.say("info", Atom("cache"), [Atom("validation"), Atom(token.decode())])
    assert client.call("echo", 7) == ("info", "valid", [])
    assert client.hear() == ("noreply",)


def stream(client):
    assert client.call("count", 3, 0) == ("info", "stream", [])
    assert client.hear() == ("reply", [])
    assert [client.hear() for _ in range(3)] == [1, 2, 3]
    assert client.frame() == b""


def many(client):
    for number in range(50):
        client.say("call", Atom("conformance"), Atom("echo"), [number])
    assert [client.hear() for _ in range(50)] == [("reply", number) for number in range(50)]


def cancel(client):
    client.say("call", Atom("conformance"), Atom("sleep"), [600_000])
    print("waiting", flush=True)
    sys.stdin.read()


for case in call, error, deadline, cast, cache, stream, many, cancel:
    connected = Client()
    case(connected)
    connected.reader.close()
    connected.socket.close()
    print(f"  ok {case.__name__}", flush=True)
