"""Third-party clients of Thrift that call a node: those that Thrift's compiler writes in Python, Ruby
and C++, and thriftpy2, each over each transport and protocol that it has. A line for each case.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/thrift/run.py
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
CHASSIS = REPOSITORY / "chassis/python"
PATIENCE_S = 60

CONFIGURATION = f"""
[faceplate.http]
listen = "127.0.0.1:0"

[faceplate.thrift]
listen = "127.0.0.1:0"

[faceplate.typed]
protocol = "thrift"
kind = "typed"
listen = "127.0.0.1:0"

[program.conformance]
command = ["python3", "{CHASSIS}/tests/conformance.py"]
dialect = "json"
workers = 2
timeout = "10m"
on_disconnect = "kill"

[program.typed]
command = ["python3", "{HERE}/worker.py"]
dialect = "json"
workers = 2
timeout = "2s"
"""

# What is started for each client, and which protocols it has.
CLIENTS = {
    "Python, thrift": ([sys.executable, HERE / "client.py"],
                       ("buffered-binary", "framed-binary", "framed-compact", "buffered-compact",
                        "old-binary", "http")),
    "Python, thriftpy2": ([sys.executable, HERE / "client_thriftpy2.py"],
                          ("buffered-binary", "framed-binary", "framed-compact",
                           "buffered-compact")),
    "Ruby": (["ruby", "-W0", HERE / "client.rb"],
             ("buffered-binary", "framed-binary", "framed-compact", "buffered-compact", "http")),
    "C++": (["./client"],
            ("buffered-binary", "framed-binary", "framed-compact", "buffered-compact", "http")),
}


def run(*command, **options) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=10 * PATIENCE_S,
                          **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}")
    return done.stdout


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


def generate(folder: pathlib.Path) -> None:
    (folder / "katamari.thrift").write_text(
        (REPOSITORY / "docs/protocol/katamari.thrift").read_text())
    (folder / "typed.thrift").write_text(run(KATAMARI, "idl", "thrift", "typed", cwd=folder))
    for name in "katamari", "typed":
        generators = [word for language in ("py", "rb", "cpp") for word in ("--gen", language)]
        run("thrift", *generators, f"{name}.thrift", cwd=folder)
    sources = [folder / "gen-cpp" / f"{name}.cpp"
               for name in ("Katamari", "katamari_types", "Typed", "typed_types")]
    run("g++", "-std=c++17", "-O0", "-I", folder / "gen-cpp", HERE / "client.cpp", *sources,
        "-lthrift", "-o", folder / "client")


def running(url: str) -> int:
    pools = json.loads(get(f"{url}/status"))["pools"]
    return sum(pool["running"] for pool in pools)


def check(folder: pathlib.Path, ready: dict) -> bool:
    url = f"http://{ready['http']}"
    until("the node to be ready", lambda: get(f"{url}/readyz"))
    generate(folder)
    environment = {**os.environ, "PYTHONPATH": f"{folder}/gen-py", "RUBYLIB": f"{folder}/gen-rb"}
    all_well = True
    for name, (command, ways) in CLIENTS.items():
        for way in ways:
            arguments = [way, ready["thrift"], ready["typed"], ready["http"]]
            client = subprocess.run([*map(str, command), *arguments], cwd=folder, env=environment,
                                    timeout=PATIENCE_S)
            # Its last act was to leave a call of many minutes behind.
            until("the call to be cancelled", lambda: running(url) == 0)
            told = "passed" if client.returncode == 0 else "FAILED"
            all_well &= client.returncode == 0
            print(f"{name}, {way}: {told}", flush=True)
    return all_well


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        (folder / "katamari.toml").write_text(CONFIGURATION)
        environment = {**os.environ, "PYTHONPATH": str(CHASSIS)}
        environment.pop("KATAMARI_CONTROL", None)
        ready = folder / "ready.json"
        command = [KATAMARI, "up", "--ready-file", str(ready), "--log-level", "error"]
        node = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL)
        try:
            until("a ready file", lambda: ready.exists() or node.poll() is not None)
            all_well = check(folder, json.loads(ready.read_text()))
        finally:
            node.terminate()
            node.wait()
    sys.exit(not all_well)


main()
