"""Workers with two slots that read inputs by hand, each call as its `value` says.

`all` reads to the end, `none` answers at once, `hold` asks for nothing, `wait` asks for little and waits,
`die` dies of the first piece, `greedy` asks for too much, `blind` asks though there is no input.
"""

import hashlib
import json
import os
import signal
import sys

from frames import frame, receive

CREDIT = 256 * 1024
FIRST = {"all": CREDIT, "wait": 100, "die": 100, "greedy": CREDIT + 1, "blind": 1}


class Call:
    def __init__(self, number, wish):
        self.number, self.wish, self.hash = number, wish, hashlib.sha256()
        self.bytes, self.largest, self.credit, self.least = 0, 0, 0, 0
        self.content_type = None

    def grant(self, count):
        self.credit += count
        frame(b"G", {"id": self.number, "bytes": count})

    def end(self, why):
        # What crosses the end of its call is nobody's.
        frame(b"R", {"id": self.number}, json.dumps({**self.said(), "why": why}).encode())
        frame(b"G", {"id": self.number, "bytes": 1})

    def said(self):
        known = ("bytes", "largest", "least", "content_type")
        return {"sha256": self.hash.hexdigest(), "pid": os.getpid(), **{k: getattr(self, k) for k in known}}


def hello():
    function = {
        "name": "read",
        "input": True,
        "idempotent": True,
        "parameters": [{"name": "value", "type": "string"}],
    }
    description = {"kind": "raw", "slots": 2, "functions": [function]}
    frame(b"H", {"protocol": 1}, json.dumps(description).encode())


calls = {}
hello()
while True:
    letter, header, payload = receive()
    call = calls.get(header.get("id"))
    if letter == b"Q":
        sys.exit(0)
    elif letter == b"P":
        frame(b"O", {})
    elif letter == b"C":
        call = calls[header["id"]] = Call(header["id"], json.loads(payload)["value"])
        if call.wish == "none" or (call.wish != "blind" and not header.get("input")):
            del calls[call.number]
            call.end("at once")
        elif call.wish in FIRST:
            call.grant(FIRST[call.wish])
    elif letter == b"I":
        if call is None:
            continue
        if payload and call.credit <= 0:
            sys.exit("a piece without credit")
        call.content_type = header.get("content_type", call.content_type)
        call.hash.update(payload)
        call.bytes += len(payload)
        call.largest = max(call.largest, len(payload))
        call.credit -= len(payload)
        call.least = min(call.least, call.credit)
        if call.wish == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if header.get("end"):
            del calls[call.number]
            call.end("the end")
        elif call.wish == "all":
            call.grant(len(payload))
    elif letter == b"X" and call is not None:
        del calls[call.number]
        print("told", header["reason"], "after", call.bytes, file=sys.stderr, flush=True)
        call.end(header["reason"])
