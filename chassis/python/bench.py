"""What a call costs in the chassis: echo of a small object, one call at a time.

    python3 chassis/python/bench.py [calls]

Three numbers: the time of a round trip, that of a worker which only reads and writes
(what the pipes, the scheduler and this Python manager cost), and the processor time the
worker spends on a call. The difference of the first two is the chassis.
"""

import os
import resource
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "tests"))

from fake_manager import Manager, pack  # noqa: E402

WARM_UP = 2000

HEADER = {
    "id": 1,
    "call": "5f3c2a9e00000007",
    "function": "echo",
    "timeout_ms": 1990,
    "class": "normal",
}
PAYLOAD = b'{"value":{"text":"hello","limit":5,"tags":["a","b"]}}'


def measure(script: str, calls: int) -> "tuple[float, float]":
    """Microseconds of a round trip, and of the worker's processor time."""
    with Manager(script) as manager:
        if script == "conformance.py":
            manager.interrogate()
        frame = pack("C", HEADER, PAYLOAD)
        read, write = manager._read, manager._write

        def run(count: int) -> float:
            start = time.perf_counter()
            for _ in range(count):
                os.write(write, frame)
                os.read(read, 65536)
            return (time.perf_counter() - start) / count * 1e6

        run(WARM_UP)
        round_trip = run(calls)
        manager.end_of_input()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        manager.exit_status()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = (after.ru_utime - before.ru_utime) + (after.ru_stime - before.ru_stime)
        return round_trip, spent / (calls + WARM_UP) * 1e6


def main() -> None:
    calls = int(sys.argv[1]) if len(sys.argv) > 1 else 50_000
    for script in ("bare_echo.py", "conformance.py"):
        round_trip, spent = measure(script, calls)
        print(f"{script:16} {round_trip:6.2f} us round trip {spent:6.2f} us CPU")


main()
