"""A worker of dialect lines: upper(text), pid(), sleep(ms)."""

import json
import os
import sys
import time


def upper(text):
    return text.upper()


def pid():
    return os.getpid()


def sleep(ms):
    time.sleep(ms / 1000)
    return "slept"


def answer(function, arguments):
    """Arguments come by position or by name, as the caller gave them."""
    if isinstance(arguments, list):
        return function(*arguments)
    return function(**arguments)


FUNCTIONS = {"upper": upper, "pid": pid, "sleep": sleep}

for line in sys.stdin:
    call = json.loads(line)
    result = answer(FUNCTIONS[call["function"]], call["arguments"])
    print(json.dumps({"id": call["id"], "result": result}), flush=True)
