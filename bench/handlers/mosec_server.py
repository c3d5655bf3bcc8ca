"""The functions as mosec workers: one route for each, with as many processes as BENCH_WORKERS says.

Only the function under test is registered, because mosec starts the processes for each route.
"""

import json
import os

from functions import FUNCTIONS, mark_worker
from mosec import Runtime, Server, Worker

FUNCTION = os.environ["BENCH_FUNCTION"]
WORKERS = int(os.environ["BENCH_WORKERS"])
TIMEOUT_S = float(os.environ.get("BENCH_TIMEOUT_S", "3"))


class Call(Worker):
    """One call at a time, JSON in and out, as everywhere in the bench."""

    def __init__(self):
        super().__init__()
        mark_worker()

    def deserialize(self, data):
        return json.loads(data)

    def serialize(self, data):
        return json.dumps(data).encode()

    def forward(self, data):
        return FUNCTIONS[FUNCTION](**data)


if __name__ == "__main__":
    server = Server()
    runtime = Runtime(Call, num=WORKERS, timeout=TIMEOUT_S)
    server.register_runtime({f"/call/bench/{FUNCTION}": [runtime]})
    server.run()
