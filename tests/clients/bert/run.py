"""Third-party clients of BERT-RPC that call a node: Erlang itself, npm's node-bertrpc, PyPI's bert and
Debian's ruby-bert. Each prints a line for each of its cases.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/bert/run.py
"""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import harness  # noqa: E402: it stands in the folder above

CONFIGURATION = f"""
[faceplate.http]
listen = "127.0.0.1:0"

[faceplate.bert]
listen = "127.0.0.1:0"

[program.conformance]
command = ["python3", "{harness.CHASSIS}/tests/conformance.py"]
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


def check(node: harness.Node) -> bool:
    host, port = node.address("bert").rsplit(":", 1)
    all_well = True
    for name, command in CLIENTS.items():
        client = subprocess.Popen([*map(str, command), host, port], text=True,
                                  stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        for line in client.stdout:
            if line != "waiting\n":
                print(line, end="", flush=True)
                continue
            # It has made a call of many minutes, and leaves when it hears that this runs.
            harness.until(lambda: node.running() == 1, "the call to run")
            client.stdin.close()
        client.wait(harness.PATIENCE_S)
        harness.until(lambda: node.running() == 0, "the call to be cancelled")
        print(f"{name}: {'passed' if client.returncode == 0 else 'FAILED'}", flush=True)
        all_well &= client.returncode == 0
    return all_well


with harness.Node(CONFIGURATION) as node:
    all_well = check(node)
sys.exit(not all_well)
