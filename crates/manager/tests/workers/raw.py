"""Workers that speak the protocol by hand, well or badly, as the first argument says."""

import json
import os
import signal
import sys
import time

from frames import FROM, frame, receive

MODE = sys.argv[1]


def hello(kind="raw", **more):
    functions = [
        {"name": "echo", "parameters": [{"name": "value", "required": False}], "idempotent": True},
        {"name": "once", "parameters": [{"name": "value", "required": False}]},
        {"name": "pieces", "stream": True},
        {"name": "fill", "input": True},
    ]
    description = {"kind": kind, "functions": functions, **more}
    frame(b"H", {"protocol": 1}, json.dumps(description).encode())


def serve(answer):
    """Answers pings and quits; leaves calls to `answer`."""
    while True:
        letter, header, payload = receive()
        if letter == b"Q":
            sys.exit(0)
        if letter == b"P":
            frame(b"O", {})
        if letter == b"C":
            answer(header["id"], header, payload)


def echo(number, header, payload):
    frame(b"R", {"id": number}, json.dumps({"pid": os.getpid(), "env": os.environ.get("MARK")}).encode())


def misbehave(number, header, payload):
    wish = json.loads(payload or b"{}").get("value")
    if wish == "die":
        print("about to fall over", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGSEGV)
    if wish == "hang":
        time.sleep(1000)
    if wish == "burn":
        end = time.process_time() + 0.1
        while time.process_time() < end:
            pass
    if wish == "bad nested":
        frame(b"N", {"id": 1, "parent": number, "details": {}, "function": "f", "key": 5})
        letter, answer, _ = receive()
        frame(b"R", {"id": number}, json.dumps([letter.decode(), answer["code"]]).encode())
        return
    if wish == "nap":
        time.sleep(0.3)
    if wish == "twice":
        frame(b"R", {"id": number}, b"1")
        frame(b"R", {"id": number}, b"2")
        return
    if wish == "garbage":
        os.write(FROM, b"Segmentation fault (just kidding)\n")
        return
    if wish == "not json":
        frame(b"R", {"id": number}, b"{oops")
        return
    if wish == "leak":
        LEAK.append(bytearray(os.urandom(1)) * (1 << 20))
    if wish == "swell":
        while True:
            LEAK.append(bytearray(os.urandom(1)) * (1 << 20))
            time.sleep(0.002)
    if wish == "child leaks":
        leak_in_child()
    if wish == "child swells":
        while True:
            leak_in_child()
            time.sleep(0.002)
    if wish == "leave":
        frame(b"R", {"id": number, "last": True}, b'"bye"')
        sys.exit(0)
    echo(number, header, payload)


def leak_in_child():
    """Makes a child, which the first time is started, hold a megabyte more."""
    if not CHILD:
        order, orders = os.pipe()
        done, dones = os.pipe()
        if os.fork() == 0:
            while os.read(order, 1):
                LEAK.append(bytearray(os.urandom(1)) * (1 << 20))
                os.write(dones, b"x")
            os._exit(0)
        CHILD.extend((orders, done))
        os.close(order)
    os.write(CHILD[0], b"x")
    os.read(CHILD[1], 1)


def overdraw(number, header, payload):
    for _ in range(100):
        frame(b"S", {"id": number}, b'"' + b"x" * 65536 + b'"')
    frame(b"R", {"id": number})


def write_before_reading(number, header, payload):
    """Asks for the inputs of all its calls, and reads none of them before it has answered one."""
    ASKED.append(number)
    if len(ASKED) < SLOTS:
        return
    for call in ASKED:
        frame(b"G", {"id": call, "bytes": 256 * 1024})
    frame(b"R", {"id": number}, b'"' + b"x" * (15 << 20) + b'"')
    for call in ASKED[:-1]:
        frame(b"R", {"id": call}, b"null")


ASKED = []
SLOTS = 8
LEAK = []
CHILD = []

if MODE == "good":
    hello()
    serve(misbehave)
elif MODE == "overdraw":
    hello()
    serve(overdraw)
elif MODE == "asks a lot":
    hello(slots=SLOTS)
    serve(write_before_reading)
elif MODE == "garbage":
    os.write(FROM, b"Loading dictionary...\n")
    time.sleep(1000)
elif MODE == "nonsense":
    hello(kind="no such kind!")
    time.sleep(1000)
elif MODE == "silent":
    time.sleep(1000)
elif MODE == "early exit":
    print("cannot open dictionary", file=sys.stderr)
    sys.exit(3)
elif MODE == "daemon":
    if os.fork():
        os._exit(0)
    time.sleep(1000)
elif MODE == "deaf":
    hello()
    while True:
        time.sleep(1000)
elif MODE == "pongs":
    hello()
    while True:
        frame(b"O", {})
elif MODE == "heir":
    hello()
    if os.fork() == 0:
        while True:
            frame(b"O", {})
    time.sleep(0.1)
    os._exit(1)
elif MODE == "flood":
    hello()
    for _ in range(20000):
        print("x" * 100, file=sys.stderr)
    serve(echo)
elif MODE == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hello()
    serve(misbehave)
else:
    sys.exit(f"unknown mode {MODE}")
