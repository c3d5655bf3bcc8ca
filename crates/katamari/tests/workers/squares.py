"""A worker of kind squares, which is wrong for some numbers in one of its editions."""

import os

from katamari import Worker

EDITION = os.environ.get("EDITION", "right")

worker = Worker("squares")


@worker.function(idempotent=True)
def square(n: int) -> dict:
    is_wrong = EDITION == "wrong" and n % 10 == 3
    return {"n": n, "square": n * n + is_wrong}


@worker.function
def edition() -> str:
    return EDITION


worker.run()
