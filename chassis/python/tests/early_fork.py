"""A worker that forks after the import of the chassis, before it runs."""

import os
from typing import List

from katamari import Worker

worker = Worker("early_fork")


def in_a_fork(look) -> List[bool]:
    """What `look` returns in a forked child."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(write, repr(look()).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    os.close(write)
    with os.fdopen(read) as pipe:
        return eval(pipe.read())


def open_in_child() -> List[bool]:
    return [os.path.exists(f"/proc/self/fd/{number}") for number in (3, 4)]


def open_in_grandchild() -> List[bool]:
    """With files of the child's own where the descriptors were."""
    for number in (3, 4):
        os.dup2(0, number)
    return in_a_fork(open_in_child)


found = [in_a_fork(open_in_child), in_a_fork(open_in_grandchild)]


@worker.function
def seen() -> List[List[bool]]:
    return found


worker.run()
