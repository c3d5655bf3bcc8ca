"""What the tests of protocols with third-party clients share: a node with the worker of worker.py
behind the faceplates that a test asks for, and a table that says how each case went.

    import harness

    def call(node):
        ...                                   # raises if anything is wrong

    harness.main({"grpc": {}}, [call, ...])   # node.address("grpc"), and a line for each case

A case is a function. Its first line of documentation, or else its name, is what the table shows.
"""

import hashlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
CHASSIS = HERE.parents[1] / "chassis/python"
KATAMARI = os.path.abspath(os.environ.get("KATAMARI", "target/debug/katamari"))
PATIENCE_S = 60
SECRET = "a secret that opens this test alone"


def until(look, what):
    """Waits until something is seen, and gives it back."""
    end = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {PATIENCE_S} s")
        time.sleep(0.01)
    return seen


class Node:
    """A node of its own, which ends with the block. Its configuration is a text, or what makes one
    for a folder."""

    def __init__(self, configuration):
        self.folder = tempfile.TemporaryDirectory(prefix="katamari-clients-")
        self.root = pathlib.Path(self.folder.name)
        text = configuration(self.root) if callable(configuration) else configuration
        (self.root / "katamari.toml").write_text(text, encoding="utf-8")

    def __enter__(self):
        command = [KATAMARI, "up", "--ready-file", "ready", "--log-level", "error"]
        environment = {**os.environ, "PYTHONPATH": str(CHASSIS)}
        environment.pop("KATAMARI_CONTROL", None)
        self.process = subprocess.Popen(command, cwd=self.root, env=environment,
                                        stdout=subprocess.DEVNULL)
        try:
            ready = self.root / "ready"
            until(lambda: ready.exists() or self.process.poll() is not None, "katamari up")
            self.ready = json.loads(ready.read_text(encoding="utf-8"))
            until(self.is_ready, "the worker")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.folder.cleanup()

    def get(self, path):
        """Status and body of an answer over HTTP."""
        connection = http.client.HTTPConnection(self.address("http"), timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def is_ready(self):
        return self.get("/readyz")[0] == 200

    def running(self):
        """How many calls run."""
        return sum(pool["running"] for pool in json.loads(self.get("/status")[1])["pools"])

    def address(self, faceplate):
        """Where a faceplate listens."""
        return self.ready[faceplate]

    def mark(self, name):
        """A file that functions of the worker write."""
        return self.root / name


def conform(faceplates, tokens=False):
    """A configuration of the worker of worker.py behind these faceplates."""
    def text(root):
        lines = []
        for name, keys in {"http": {}, **faceplates}.items():
            lines += [f"[faceplate.{name}]", 'listen = "127.0.0.1:0"']
            lines += [f"{key} = {json.dumps(value)}" for key, value in keys.items()]
        if tokens:
            digest = hashlib.sha256(SECRET.encode()).hexdigest()
            lines += ["[access.token.test]", f'hash = "sha256:{digest}"', 'kinds = ["conform"]']
        lines += ["[program.conform]", f'command = ["{sys.executable}", "{HERE / "worker.py"}"]',
                  'dialect = "json"', "workers = 2", 'timeout = "20s"', 'stop_timeout = "1s"',
                  f'env = {{ PYTHONPATH = "{CHASSIS}", MARKS = "{root}" }}']
        return "\n".join(lines) + "\n"
    return text


def main(faceplates, cases, tokens=()):
    """Runs cases against a node, and those of `tokens` against one that wants a token; prints a
    line for each, and ends the process with 1 if any failed."""
    failed = 0
    for group, closed in ((cases, False), (tokens, True)):
        if not group:
            continue
        with Node(conform(faceplates, closed)) as node:
            for case in group:
                failed += not passes(case, node)
    sys.exit(1 if failed else 0)


def passes(case, node):
    title = (case.__doc__ or case.__name__.replace("_", " ")).splitlines()[0].rstrip(".")
    begun = time.monotonic()
    try:
        case(node)
    except Exception:
        print(f"{title:<60} FAILED")
        traceback.print_exc(file=sys.stdout)
        return False
    print(f"{title:<60} passed in {(time.monotonic() - begun) * 1000:5.0f} ms", flush=True)
    return True
