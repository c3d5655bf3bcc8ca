"""A worker of dialect `lines` that breaks one promise: it answers a call twice."""

import json
import sys

for line in sys.stdin:
    number = json.loads(line)["id"]
    answer = json.dumps({"id": number, "error": "there is no such function"})
    print(answer, answer, sep="\n", flush=True)
