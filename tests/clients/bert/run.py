"""Third-party clients of BERT-RPC that call a node: Erlang itself, npm's node-bertrpc, PyPI's bert and
Debian's ruby-bert. Each prints a line for each of its cases.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/bert/run.py
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[2]
KATAMARI = os.path.abspath(os.environ.get("KATAMARI", "target/debug/katamari"))
PATIENCE_S = 60

CONFIGURATION = f"""
[faceplate.http]
listen = "127.0.0.1:0"

[faceplate.bert]
listen = "127.0.0.1:0"

[program.conformance]
command = ["python3", "{REPOSITORY}/chassis/python/tests/conformance.py"]
dialect = "json"
workers = 2
timeout = "10m"
on_disconnect = "kill"
"""

CLIENTS = {
    "Erlang": ["escript", HERE / "client.escript"],
    "Node, node-bertrpc": ["node", "--no-deprecation", HERE / "client.cjs"],
    "Python, bert": [sys.executable, HERE / "client.py"],
    "Ruby, ruby-bert": ["ruby", "-W0", HERE / "client.rb"],
}


def until(what: str, look):
    end = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        if time.monotonic() > end:
            sys.exit(f"expected {what} in {PATIENCE_S} s")
        time.sleep(0.02)
    return seen


def get(url: str):
    try:
        with urllib.request.urlopen(url) as response:
            return response.read()
    except OSError:
        return None


def running(url: str) -> int:
    return sum(pool["running"] for pool in json.loads(get(f"{url}/status"))["pools"])


def check(ready: dict) -> bool:
    url = f"http://{ready['http']}"
    until("the node to be ready", lambda: get(f"{url}/readyz"))
    host, port = ready["bert"].rsplit(":", 1)
    all_well = True
    for name, command in CLIENTS.items():
        client = subprocess.Popen([*map(str, command), host, port], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for line in client.stdout:
            if line != "waiting\n":
                print(line, end="", flush=True)
                continue
            # It has made a call of many minutes, and leaves when it hears that this runs.
            until("the call to run", lambda: running(url) == 1)
            client.stdin.close()
        client.wait(PATIENCE_S)
        until("the call to be cancelled", lambda: running(url) == 0)
        print(f"{name}: {'passed' if client.returncode == 0 else 'FAILED'}", flush=True)
        all_well &= client.returncode == 0
    return all_well


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "katamari.toml").write_text(CONFIGURATION)
        ready = folder / "ready.json"
        environment = dict(os.environ)
        environment.pop("KATAMARI_CONTROL", None)
        command = [KATAMARI, "up", "--ready-file", str(ready), "--log-level", "error"]
        node = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        try:
            until("a ready file", lambda: ready.exists() or node.poll() is not None)
            all_well = check(json.loads(ready.read_text()))
        finally:
            node.terminate()
            node.wait()
    sys.exit(not all_well)


main()
