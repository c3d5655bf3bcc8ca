"""The conformance worker, by which `katamari check` tests this chassis in full."""

import hashlib
import os
import sys
import time
from typing import Any, Dict, Iterator, Union

# Beside the package: so that the command needs no PYTHONPATH.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from katamari import CallError, Last, Worker  # noqa: E402

worker = Worker(
    "conformance",
    versions={"chassis": "python"},
    tags=["conformance"],
    slots=int(os.environ.get("KATAMARI_CONFORMANCE_SLOTS", "1")),
)

STEP = 0.01
"""Seconds between two looks at the cancellation."""


@worker.function(idempotent=True)
def echo(value: Any) -> Any:
    return value


@worker.function(idempotent=True)
def add(a: int, b: int, c: int = 0) -> int:
    """Adds."""
    return a + b + c


@worker.function
def fail(message: str) -> None:
    raise RuntimeError(message)


@worker.function
def sleep(ms: int) -> str:
    end = time.monotonic() + ms / 1000
    while True:
        worker.check_cancelled()
        left = end - time.monotonic()
        if left <= 0:
            return "slept"
        time.sleep(min(STEP, left))


@worker.function
def remaining() -> int:
    return int(worker.remaining() * 1000)


@worker.function
def count(to: int, size: int) -> Iterator[Union[int, str]]:
    for number in range(1, to + 1):
        yield "x" * size if size > 0 else number


@worker.function(input=True)
def measure() -> Dict[str, Any]:
    """The size of the input and its hash."""
    size, sha256 = 0, hashlib.sha256()
    for piece in worker.input:
        size += len(piece)
        sha256.update(piece)
    return {"bytes": size, "sha256": sha256.hexdigest()}


@worker.function
def nested(kind: str, function: str, arguments: dict) -> Dict[str, Any]:
    try:
        return {"result": worker.caller(kind)(function, **arguments)}
    except CallError as error:
        return {"error": error.code}


@worker.function
def last(value: Any) -> Any:
    return Last(value)


@worker.function(name="print")
def print_everywhere(text: str) -> None:
    print(text)
    print(text, file=sys.stderr)


@worker.function
def leak() -> bool:
    """Whether descriptors 3 and 4 are closed in a child.

    `os.system` closes nothing by itself; `subprocess` does, and would prove nothing.
    """
    status = os.system("test ! -e /proc/self/fd/3 && test ! -e /proc/self/fd/4")
    return os.WEXITSTATUS(status) == 0


worker.run()
