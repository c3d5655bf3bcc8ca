"""Third-party clients of Thrift that call a node: those that Thrift's compiler writes in Python, Ruby
and C++, and thriftpy2, each over each transport and protocol that it has. A line for each case.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/thrift/run.py
"""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

import harness  # noqa: E402: it stands in the folder above

REPOSITORY = HERE.parents[2]

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
command = ["python3", "{harness.CHASSIS}/tests/conformance.py"]
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
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True,
                          timeout=10 * harness.PATIENCE_S, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}")
    return done.stdout


def generate(folder: pathlib.Path) -> None:
    (folder / "katamari.thrift").write_text(
        (REPOSITORY / "docs/protocol/katamari.thrift").read_text())
    typed = run(harness.KATAMARI, "idl", "thrift", "typed", cwd=folder)
    (folder / "typed.thrift").write_text(typed)
    for name in "katamari", "typed":
        generators = [word for language in ("py", "rb", "cpp") for word in ("--gen", language)]
        run("thrift", *generators, f"{name}.thrift", cwd=folder)
    sources = [folder / "gen-cpp" / f"{name}.cpp"
               for name in ("Katamari", "katamari_types", "Typed", "typed_types")]
    run("g++", "-std=c++17", "-O0", "-I", folder / "gen-cpp", HERE / "client.cpp", *sources,
        "-lthrift", "-o", folder / "client")


def check(node: harness.Node) -> bool:
    folder = node.root
    generate(folder)
    environment = {**os.environ, "PYTHONPATH": f"{folder}/gen-py", "RUBYLIB": f"{folder}/gen-rb"}
    all_well = True
    for name, (command, ways) in CLIENTS.items():
        for way in ways:
            arguments = [way, *map(node.address, ("thrift", "typed", "http"))]
            client = subprocess.run([*map(str, command), *arguments], cwd=folder, env=environment,
                                    timeout=harness.PATIENCE_S)
            # Its last act was to leave a call of many minutes behind.
            harness.until(lambda: node.running() == 0, "the call to be cancelled")
            told = "passed" if client.returncode == 0 else "FAILED"
            all_well &= client.returncode == 0
            print(f"{name}, {way}: {told}", flush=True)
    return all_well


with harness.Node(CONFIGURATION) as node:
    all_well = check(node)
sys.exit(not all_well)
