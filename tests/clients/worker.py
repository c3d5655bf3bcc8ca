"""The worker behind the tests of third-party clients, of the kind that its argument says: a function for
each thing that can happen to a call."""

import os
import pathlib
import sys
import time
from typing import Any, Dict, Iterator, List, Optional

from katamari import Worker

worker = Worker(sys.argv[1])


@worker.function(idempotent=True)
def echo(text: str, times: int = 1) -> str:
    """Says a text again."""
    return text * times


@worker.function(idempotent=True)
def same(value: Any) -> Any:
    return value


@worker.function(idempotent=True)
def add(a: int, b: int, c: int = 0) -> int:
    return a + b + c


@worker.function
def remaining() -> int:
    return int(worker.remaining() * 1000)


@worker.function
def types(flag: bool, numbers: List[float], counts: Dict[str, int], note: Optional[str],
          rest: Any, more: Optional[dict] = None) -> dict:
    return {"flag": flag, "numbers": numbers, "counts": counts, "note": note, "rest": rest,
            "more": more}


@worker.function
def reverse(data: bytes) -> bytes:
    return data[::-1]


@worker.function
def fail(message: str) -> None:
    raise ValueError(message)


@worker.function
def lie() -> int:
    return "not a number"


@worker.function
def die() -> None:
    os._exit(3)


@worker.function
def sleep(ms: int) -> str:
    end = time.monotonic() + ms / 1000
    while time.monotonic() < end:
        worker.check_cancelled()
        time.sleep(0.01)
    return "slept"


@worker.function
def wait(mark: str) -> None:
    """Runs until the call is cancelled, and leaves a file of that name then."""
    for _ in trickle(mark):
        pass


@worker.function
def trickle(mark: str) -> Iterator[int]:
    """The same, with an answer that has begun."""
    folder = pathlib.Path(os.environ["MARKS"])
    (folder / f"{mark}.begun").touch()
    yield 1
    while not worker.cancelled:
        time.sleep(0.01)
    (folder / mark).touch()


@worker.function
def count(to: int) -> Iterator[int]:
    yield from range(1, to + 1)


@worker.function
def flood(mark: str, pieces: int, size: int) -> Iterator[str]:
    """Sends long pieces, and writes into a file of that name how many it has sent so far."""
    file = pathlib.Path(os.environ["MARKS"]) / mark
    for number in range(1, pieces + 1):
        yield "x" * size
        file.write_text(str(number), encoding="ascii")


@worker.function
def break_off(after: int) -> Iterator[int]:
    yield from range(after)
    raise RuntimeError("broken off")


worker.run()
