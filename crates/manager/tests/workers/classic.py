"""A worker of 2008 by hand, hostile if told so: `classic.py [WAY]`. It has one function, `f(value)`."""

import os
import signal
import struct
import sys

from frames import read, send

WAY = sys.argv[1] if len(sys.argv) > 1 else "good"


def atom(text):
    return b"d" + struct.pack(">H", len(text)) + text.encode()


def binary(text):
    return b"m" + struct.pack(">I", len(text)) + text.encode()


def tuple_of(*terms):
    return b"h" + bytes([len(terms)]) + b"".join(terms)


def listed(*terms):
    return b"l" + struct.pack(">I", len(terms)) + b"".join(terms) + b"j"


def message(term):
    send(struct.pack(">I", 1 + len(term)) + b"\x83" + term)


def result(value):
    message(tuple_of(atom("result"), value))


def nested(depth):
    """A list in a list in a list..."""
    return b"l\x00\x00\x00\x01" * depth + b"j" + b"j" * depth


def hear():
    return read(*struct.unpack(">I", read(4)))


def interrogated():
    assert hear() == b"\x83" + atom("api")
    if WAY == "silent":
        while True:
            signal.pause()
    if WAY == "deep api":
        return result(nested(400))
    if WAY == "large api":
        return send(struct.pack(">I", 5 << 20))
    if WAY == "text":
        return send(b"Traceback (most recent call last):\n")
    if WAY == "cut api":
        send(struct.pack(">I", 100) + b"\x83h\x02")
        sys.exit(3)
    result(listed(tuple_of(atom("f"), tuple_of(atom("value")))))
    assert hear() == b"\x83" + atom("config")
    result(listed(tuple_of(binary("kind"), binary("raw"))))
    if WAY == "unasked":
        result(b"a\x01")


def answer(call):
    """What the argument asks for."""
    if b"not a term" in call:
        send(struct.pack(">I", 4) + b"\x83zzz")
    elif b"half a term" in call:
        send(struct.pack(">I", 4) + b"\x83h\x02a")
    elif b"oversized" in call:
        send(struct.pack(">I", (16 << 20) + 1))
    elif b"deep" in call:
        result(nested(600))
    elif b"promise" in call:
        result(b"l\xff\xff\xff\xff")
    elif b"not text" in call:
        result(b"m\x00\x00\x00\x01\xff")
    elif b"no word" in call:
        message(tuple_of(atom("reply"), b"a\x01"))
    elif b"twice" in call:
        one = tuple_of(atom("result"), tuple_of(atom("raw"), binary("1")))
        send(2 * (struct.pack(">I", 1 + len(one)) + b"\x83" + one))
    elif b"cut off" in call:
        send(struct.pack(">I", 100) + b"\x83h\x02")
        os._exit(7)
    elif b"hang" in call:
        while True:
            signal.pause()
    else:
        result(tuple_of(atom("raw"), binary(str(os.getpid()))))


if WAY == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
interrogated()
while True:
    said = hear()
    if said == b"\x83" + atom("ping"):
        message(atom("pong"))
    elif said == b"\x83" + atom("quit"):
        sys.exit(0)
    else:
        answer(said)
