"""Workers that attack the cluster by hand: `hostile.py KIND ATTACK`. Their victims are of ATTACK `victim`."""

import json
import os
import struct
import sys

from frames import frame, receive, send

KIND, ATTACK = sys.argv[1:]


def hello():
    functions = [{"name": name} for name in ["attack", "seen", "hold"]]
    description = {"kind": KIND, "slots": 20 if ATTACK == "victim" else 1, "functions": functions}
    frame(b"H", {"protocol": 1}, json.dumps(description).encode())


def nested(number, parent, kind, function, **more):
    details = {"kind": kind} if kind else {}
    header = {"id": number, "parent": parent, "details": details, "function": function, **more}
    frame(b"N", header, b"{}")


def told():
    """What a nested call was told: the code of its error, or its result."""
    letter, header, payload = receive()
    return header["code"] if letter == b"B" else json.loads(payload)


def attack(call):
    """Gives what the cluster answered, if it did."""
    if ATTACK == "forbidden":
        for number, kind in enumerate(["secret", "", "no-such-kind", KIND]):
            nested(number, call, kind, "seen")
        return [told() for _ in range(4)]
    if ATTACK == "above":
        nested(1, call, "victim", "seen", timeout_ms=2**53 - 1)
        longest = told()
        nested(1, call, "victim", "seen", **{"class": "high"})
        return [longest, told()]
    if ATTACK == "many":
        for number in range(20):
            nested(number, call, "victim", "hold")
        return [told() for _ in range(4)]
    if ATTACK == "flood":
        while True:
            nested(1, call, "secret", "seen")
    if ATTACK == "orphan":
        nested(1, 2**53 - 1, "victim", "seen")
    if ATTACK == "stolen":
        # Whatever number the call of another worker has, it is none of these.
        for parent in range(call + 50):
            if parent != call:
                nested(parent, parent, "victim", "seen")
    if ATTACK == "twins":
        nested(1, call, "victim", "hold")
        nested(1, call, "victim", "seen")
    if ATTACK == "unknown":
        frame(b"Z", {"id": call}, b"{}")
    if ATTACK == "oversized":
        send(struct.pack(">IcH", 1 << 30, b"R", 0))
    if ATTACK == "foreign":
        frame(b"R", {"id": call + 1}, b'"not mine"')
    if ATTACK == "hello":
        hello()
    return "nobody has answered"


def victim():
    calls = 0
    while True:
        letter, header, _ = receive()
        number = header.get("id")
        if letter == b"Q":
            sys.exit(0)
        if letter == b"P":
            frame(b"O", {})
        if letter == b"X":
            frame(b"R", {"id": number}, b"null")
        if letter == b"C" and header["function"] == "seen":
            calls += 1
            answer = {"pid": os.getpid(), "calls": calls, "class": header["class"]}
            answer["timeout_ms"] = header["timeout_ms"]
            frame(b"R", {"id": number}, json.dumps(answer).encode())


hello()
if ATTACK == "victim":
    victim()
while True:
    letter, header, _ = receive()
    if letter == b"Q":
        sys.exit(0)
    if letter == b"P":
        frame(b"O", {})
    if letter == b"C":
        answer = attack(header["id"])
        if answer != "nobody has answered":
            frame(b"R", {"id": header["id"]}, json.dumps(answer).encode())
