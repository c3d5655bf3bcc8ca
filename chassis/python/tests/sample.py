"""A worker with the functions that the tests need beyond the conformance worker's.

python3 sample.py [slots]
"""

import asyncio
import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from typing import Any, Dict, Iterator, List, Optional

from katamari import Cancelled, Last, Payload, Worker

slots = int(sys.argv[1]) if len(sys.argv) > 1 else 1
worker = Worker(
    "sample", versions={"model": "1.2"}, tags=["en", "de"], roles=["r"], slots=slots
)
seen: List[str] = []
barrier = threading.Barrier(slots)


@dataclasses.dataclass
class Point:
    x: int
    y: int = 0
    next: "Optional[Point]" = None


@worker.function
def options(first: str, second: int = 2, *, third: bool, fourth: int = 4) -> list:
    return [first, second, third, fourth]


@worker.function
def mirror(point: Point, more: Optional[List[Point]] = None) -> Dict[str, Any]:
    assert isinstance(point, Point), point
    for other in more or []:
        assert isinstance(other, Point), other
    last = point
    while last.next is not None:
        last = last.next
    return {"swapped": Point(point.y, point.x), "last": last, "more": len(more or [])}


@worker.function
def size_of(data: bytes) -> int:
    assert type(data) is bytes
    return len(data)


@worker.function
def retype(payload: Payload) -> Payload:
    return Payload(payload.data[::-1], payload.content_type + "+reversed")


@worker.function
def octets(size: int) -> bytes:
    return b"\xff" * size


@worker.function
def make(what: str) -> Any:
    circle: List[Any] = []
    circle.append(circle)
    return {
        "nan": lambda: float("nan"),
        "infinity": lambda: [float("inf")],
        "set": lambda: {1},
        "bytes in json": lambda: {"a": b"b"},
        "circle": lambda: circle,
        "surrogate": lambda: "\ud800",
        "none": lambda: None,
        "unicode": lambda: "pâté \u2028 🍣",
        "last nan": lambda: Last(float("nan")),
    }[what]()


@worker.function
def text_of(size: int) -> str:
    return "x" * size


@worker.function
def text_despite_alarms(size: int) -> str:
    signal.signal(signal.SIGALRM, lambda *_: None)
    return "x" * size


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


@worker.function
def raise_it(what: str) -> None:
    if what == "cause":
        try:
            raise KeyError("inner")
        except KeyError as error:
            raise ValueError("outer") from error
    raise {
        "empty": lambda: ValueError(),
        "mute": lambda: Mute(),
        "long": lambda: ValueError("\x00" * 100_000),
        "surrogate": lambda: ValueError("\ud800"),
        "exit": lambda: SystemExit(3),
        "interrupt": lambda: KeyboardInterrupt(),
        "base": lambda: asyncio.CancelledError("task"),
    }[what]()


@worker.function
def recurse() -> None:
    recurse()


@worker.function
def nap(seconds: float) -> str:
    time.sleep(seconds)
    return "rested"


@worker.function
def wait_for_cancel() -> str:
    while True:
        try:
            worker.check_cancelled()
        except Cancelled as error:
            return error.reason
        time.sleep(0.001)


@worker.function
def numbers(to: int, result: Any = None, fail_at: int = 0, size: int = 0) -> Iterator:
    try:
        for number in range(1, to + 1):
            if number == fail_at:
                raise ValueError(f"no {number}")
            yield "x" * size if size else number
        return result
    finally:
        seen.append("closed")


@worker.function
def last_numbers() -> Iterator[int]:
    yield 1
    return Last(2)


@worker.function(stream=True)
def lines(text: str) -> "Iterator[str]":
    return iter(text.split("\n"))


@worker.function
def chunks() -> Iterator[bytes]:
    yield b"\x00\x01"
    yield Payload(b"<p>", "text/html")


@worker.function
def what_was_seen() -> List[str]:
    return seen


@worker.function
def relay(function: str, arguments: list, options: Optional[dict] = None) -> Any:
    given = dict(options or {})
    kind = given.pop("kind", "other")
    if "payload" in given:
        arguments = [Payload(given.pop("payload").encode(), "text/plain")]
    value = worker.caller(kind, **given)(function, *arguments)
    if isinstance(value, Payload):
        return {"payload": value.data.decode(), "type": value.content_type}
    return value


@worker.function
def call_by_target(target: str, size: int = 1) -> Any:
    return worker.call(target, text="t" * size)


@worker.function
def call_with_bytes(sort: str) -> Any:
    data = {"bytes": bytes, "bytearray": bytearray, "memoryview": memoryview}[sort]
    return worker.call("other.do", data(b"\x00\xff"))


@worker.function
def relay_then_look(function: str) -> list:
    value = worker.call(f"other.{function}")
    return [value, worker.cancelled]


@worker.function
def about_the_call() -> list:
    return [worker.call_id, worker.call_key, worker.call_class]


@worker.function
def from_a_thread() -> str:
    caught: List[str] = []

    def ask() -> None:
        try:
            worker.call("other.thing")
        except RuntimeError as error:
            caught.append(str(error))

    thread = threading.Thread(target=ask)
    thread.start()
    thread.join()
    return caught[0]


@worker.function
def meet() -> str:
    """Returns only if as many calls as there are slots run at the same time."""
    barrier.wait(timeout=20)
    return threading.current_thread().name


@worker.function
def environment() -> Optional[str]:
    command = 'echo "${KATAMARI_PROTOCOL-unset}"'
    return subprocess.check_output(["sh", "-c", command], text=True).strip()


@worker.function
def fork() -> list:
    """What a forked child sees: whether 3 and 4 are open, whether it may call."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        found = [os.path.exists(f"/proc/self/fd/{n}") for n in (3, 4)]
        try:
            worker.call("other.thing")
        except RuntimeError:
            found.append(worker.cancelled)
        os.write(write, repr(found).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    return [os.read(read, 100).decode()]


worker.run()
print("after run")
