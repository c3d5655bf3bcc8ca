"""A worker written with the chassis, of dialect json, kind basic."""

import os
import time
from typing import Iterator

from katamari import Worker

worker = Worker("basic", versions={"edition": os.environ.get("EDITION", "1")})


@worker.function(idempotent=True)
def echo(value: str) -> str:
    return value


@worker.function
def edition() -> str:
    return os.environ.get("EDITION", "1")


@worker.function
def sleep(ms: int) -> str:
    time.sleep(ms / 1000)
    return "slept"


@worker.function
def fail(message: str) -> None:
    raise ValueError(message)


@worker.function
def count(to: int) -> Iterator[int]:
    yield from range(1, to + 1)


@worker.function
def shout(text: str) -> str:
    return worker.caller("shout")("upper", text=text)


worker.run()
