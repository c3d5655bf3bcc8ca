"""Frames of the worker protocol by hand, for workers that need no chassis, or break its rules."""

import json
import os
import struct
import sys

TO, FROM = 3, 4


def send(data):
    while data:
        data = data[os.write(FROM, data) :]


def frame(letter, header, payload=b""):
    header = json.dumps(header).encode()
    send(struct.pack(">IcH", 3 + len(header) + len(payload), letter, len(header)) + header + payload)


def read(count):
    data = b""
    while len(data) < count:
        part = os.read(TO, count - len(data))
        if not part:
            sys.exit(0)
        data += part
    return data


def receive():
    (length,) = struct.unpack(">I", read(4))
    body = read(length)
    (size,) = struct.unpack(">H", body[1:3])
    return body[:1], json.loads(body[3 : 3 + size] or b"{}"), body[3 + size :]
