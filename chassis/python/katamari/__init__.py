"""The Python chassis of Katamari: makes a Python program a worker.

Start reading in `worker`, which holds what a program uses. Below it, from the inside
out: `descriptors` claims descriptors 3 and 4, `frames` reads and packs frames, `values`
turns payloads into values and back, `describe` turns a function into its description,
`options` checks what a nested call asks for, `inputs` is what comes beside arguments,
`session` runs calls, `one_slot`, `many_slots` and `async_slots` decide where and when.
"""

from .errors import CallError, Cancelled, DescriptionError, ProtocolError, TooLarge
from .inputs import Input
from .values import Last, Payload
from .worker import Caller, Worker

__all__ = [
    "CallError",
    "Caller",
    "Cancelled",
    "DescriptionError",
    "Input",
    "Last",
    "Payload",
    "ProtocolError",
    "TooLarge",
    "Worker",
]
