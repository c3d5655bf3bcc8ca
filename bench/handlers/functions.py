"""The functions that every server in the bench runs, so that only the server differs."""

import time

MEBIBYTE = 1024 * 1024
PAGE = 4096

_kept = []


def mark_worker():
    """Gives this process the name by which the bench tells workers from the rest of a server."""
    with open("/proc/self/comm", "w", encoding="ascii") as name:
        name.write("bench-worker")


def echo(value):
    """Gives back what came: what is measured is the way there and back."""
    return value


def work(value, hang=False):
    """Takes ten milliseconds, or for ever if the request says so."""
    while hang:
        time.sleep(3600)
    time.sleep(0.010)
    return value


def leak(value):
    """Loses one resident mebibyte a call."""
    block = bytearray(MEBIBYTE)
    # One write a page: memory that was never touched is not resident.
    block[::PAGE] = b"x" * (MEBIBYTE // PAGE)
    _kept.append(block)
    return value


FUNCTIONS = {"echo": echo, "work": work, "leak": leak}
