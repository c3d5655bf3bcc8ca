"""The conformance worker with async functions, but for two that are plain."""

import asyncio
import hashlib
import os
import sys
from typing import Any, AsyncIterator, Dict, Union

# Beside the package: so that the command needs no PYTHONPATH.
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from katamari import CallError, Last, Worker  # noqa: E402

worker = Worker(
    "conformance",
    versions={"chassis": "python-async"},
    tags=["conformance"],
    slots=int(os.environ.get("KATAMARI_CONFORMANCE_SLOTS", "1")),
)


@worker.function(idempotent=True)
async def echo(value: Any) -> Any:
    return value


@worker.function(idempotent=True)
async def add(a: int, b: int, c: int = 0) -> int:
    """Adds."""
    return a + b + c


@worker.function
async def fail(message: str) -> None:
    raise RuntimeError(message)


@worker.function
async def sleep(ms: int) -> str:
    await asyncio.sleep(ms / 1000)
    return "slept"


@worker.function
async def remaining() -> int:
    return int(worker.remaining() * 1000)


@worker.function
async def count(to: int, size: int) -> AsyncIterator[Union[int, str]]:
    for number in range(1, to + 1):
        yield "x" * size if size > 0 else number


@worker.function(input=True)
async def measure() -> Dict[str, Any]:
    """The size of the input and its hash."""
    size, sha256 = 0, hashlib.sha256()
    async for piece in worker.input:
        size += len(piece)
        sha256.update(piece)
    return {"bytes": size, "sha256": sha256.hexdigest()}


@worker.function
async def nested(kind: str, function: str, arguments: dict) -> Dict[str, Any]:
    try:
        return {"result": await worker.caller(kind).acall(function, **arguments)}
    except CallError as error:
        return {"error": error.code}


@worker.function
async def last(value: Any) -> Any:
    return Last(value)


@worker.function(name="print")
def print_everywhere(text: str) -> None:
    print(text)
    print(text, file=sys.stderr)


@worker.function
def leak() -> bool:
    """Whether descriptors 3 and 4 are closed in a child."""
    status = os.system("test ! -e /proc/self/fd/3 && test ! -e /proc/self/fd/4")
    return os.WEXITSTATUS(status) == 0


worker.run()
