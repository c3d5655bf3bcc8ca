"""A worker of dialect `lines` that breaks one promise: its answers wait in a buffer."""

import json
import sys

# A file of its own, since PYTHONUNBUFFERED would let sys.stdout keep the promise.
with open(1, "w", buffering=1 << 16) as answers:
    for line in sys.stdin:
        number = json.loads(line)["id"]
        answer = {"id": number, "error": "there is no such function"}
        print(json.dumps(answer), file=answers)
