#!/usr/bin/env python3
"""Greets through the running example while its workers crash, and says how it went.

    demo.py --ready-file FILE      FILE as `katamari up --ready-file FILE` writes it

Every greeting must be answered and every crash must be told. If not, the exit status is 1.
"""

import argparse
import http.client
import json
import pathlib
import sys
import time
from collections import Counter

GREETINGS = 200
CRASH_EVERY = 50
PATIENCE_S = 60


def address_of(ready_file):
    end = time.monotonic() + PATIENCE_S
    while True:
        try:
            return json.loads(ready_file.read_text(encoding="utf-8"))["http"]
        except (FileNotFoundError, json.JSONDecodeError):
            if time.monotonic() > end:
                raise SystemExit(f"{ready_file} did not appear; is katamari up?") from None
            time.sleep(0.05)


def call(connection, function, arguments):
    connection.request("POST", f"/call/hello/{function}", json.dumps(arguments),
                       {"content-type": "application/json"})
    response = connection.getresponse()
    return response.status, json.loads(response.read())


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ready-file", type=pathlib.Path, required=True)
    address = address_of(parser.parse_args().ready_file)
    connection = http.client.HTTPConnection(address, timeout=PATIENCE_S)
    by_process, crashes, problems = Counter(), 0, []
    for number in range(1, GREETINGS + 1):
        status, answer = call(connection, "greet", {"name": f"number {number}"})
        if status == 200 and answer["greeting"] == f"Hello, number {number}!":
            by_process[answer["process"]] += 1
        else:
            problems.append(f"greeting {number}: {status} {answer}")
        if number % CRASH_EVERY == 0:
            status, answer = call(connection, "crash", {})
            crashes += 1
            if answer.get("code") != "worker_died":
                problems.append(f"crash {crashes}: {status} {answer}")
    print(f"{sum(by_process.values())} of {GREETINGS} greetings answered by "
          f"{len(by_process)} processes, while {crashes} crashed")
    for problem in problems:
        print(f"UNEXPECTED: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
