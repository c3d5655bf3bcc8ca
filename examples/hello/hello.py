"""The smallest worker worth looking at: one function, and a counter that shows which process it
was that answered."""

import os

from katamari import Worker

worker = Worker("hello", versions={"greeting": "1.0"})
answered = 0


@worker.function(idempotent=True)
def greet(name: str = "world") -> dict:
    """Greets somebody."""
    global answered
    answered += 1
    return {"greeting": f"Hello, {name}!", "process": os.getpid(), "answered": answered}


@worker.function
def crash() -> None:
    """Ends the process in the middle of the call, as buggy programs do."""
    os.abort()


worker.run()
