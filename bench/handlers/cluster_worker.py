"""The worker of the cluster scenarios: one function that may be called twice, one that must not.

`once` notes in a file when it begins and ends, so that the bench can tell what ran where, and that
nothing ran twice. The file is named after the network namespace, which is the node.
"""

import os
import time

from katamari import Worker

FOLDER = os.environ["BENCH_TRACE"]
NODE = str(os.stat("/proc/self/ns/net").st_ino)
TRACE = os.open(os.path.join(FOLDER, NODE), os.O_WRONLY | os.O_APPEND | os.O_CREAT)

worker = Worker("task")


@worker.function(idempotent=True)
def again(value, ms=5):
    """Takes so many milliseconds."""
    time.sleep(ms / 1000)
    return value


@worker.function
def once(value, ms=5):
    """The same, on the record."""
    os.write(TRACE, f"begin {value}\n".encode())
    time.sleep(ms / 1000)
    os.write(TRACE, f"end {value}\n".encode())
    return value


worker.run()
