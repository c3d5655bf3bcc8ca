"""The typed worker that clients of Thrift call, of dialect json, kind typed."""

import time
from typing import Any, Dict, Iterator, List, Optional

from katamari import Worker

worker = Worker("typed")


@worker.function
def join(words: List[str], between: Optional[str] = None, twice: bool = False) -> str:
    """Joins words."""
    joined = (between or "").join(words)
    return joined * 2 if twice else joined


@worker.function
def scale(vector: Dict[str, float], by: int) -> Dict[str, float]:
    return {name: value * by for name, value in vector.items()}


@worker.function
def anything(value: Any, maybe: Optional[int]) -> Any:
    return [value, maybe]


@worker.function
def half(number: int) -> Optional[int]:
    return None if number % 2 else number // 2


@worker.function
def count(to: int) -> Iterator[int]:
    for number in range(1, to + 1):
        yield number


@worker.function
def reverse(data: bytes) -> bytes:
    return data[::-1]


@worker.function
def fail(message: str) -> None:
    raise ValueError(message)


@worker.function
def sleep(ms: int) -> str:
    end = time.monotonic() + ms / 1000
    while time.monotonic() < end:
        worker.check_cancelled()
        time.sleep(0.01)
    return "slept"


worker.run()
