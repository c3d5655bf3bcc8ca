"""A worker whose calls fail in a bad mood."""

import os

from katamari import Worker

worker = Worker("moody")


@worker.function
def work() -> str:
    if os.environ.get("MOOD") == "bad":
        raise RuntimeError("no")
    return "done"


worker.run()
