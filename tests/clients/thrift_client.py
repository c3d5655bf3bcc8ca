"""Thrift with what its compiler writes in Python, Ruby and C++, and with thriftpy2, each over each
transport and protocol that it has.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/thrift_client.py
"""

import contextlib
import os
import pathlib
import subprocess
import sys

import harness

HERE = pathlib.Path(__file__).resolve().parent / "thrift"
NEEDS = ("thrift",)
FACEPLATES = {"thrift": {}, "typed": {"protocol": "thrift", "kind": "typed"}}
MORE = f"""
[program.conformance]
command = ["python3", "{harness.CHASSIS}/tests/conformance.py"]
dialect = "json"
workers = 2
timeout = "10m"
on_disconnect = "kill"

[program.typed]
command = ["python3", "{HERE}/worker.py"]
env = {{ PYTHONPATH = "{harness.CHASSIS}" }}
dialect = "json"
workers = 2
timeout = "2s"
"""


@contextlib.contextmanager
def prepared(node):
    """Has Thrift's compiler write what clients need, and compiles the one in C++."""
    def run(*command):
        subprocess.run([str(word) for word in command], cwd=node.root, check=True,
                       timeout=10 * harness.PATIENCE_S)
    typed = subprocess.run([harness.KATAMARI, "idl", "thrift", "typed"], cwd=node.root, check=True,
                           stdout=subprocess.PIPE, timeout=harness.PATIENCE_S).stdout
    (node.root / "typed.thrift").write_bytes(typed)
    (node.root / "katamari.thrift").write_bytes(
        (harness.REPOSITORY / "docs/protocol/katamari.thrift").read_bytes())
    for name in "katamari", "typed":
        generators = [word for language in ("py", "rb", "cpp") for word in ("--gen", language)]
        run("thrift", *generators, f"{name}.thrift")
    if all(map(harness.is_there, Cpp.needs)):
        compile_cpp(node)
    yield


def compile_cpp(node):
    sources = [node.root / "gen-cpp" / f"{name}.cpp"
               for name in ("Katamari", "katamari_types", "Typed", "typed_types")]
    command = ("g++", "-std=c++17", "-O0", "-I", node.root / "gen-cpp", HERE / "client.cpp", *sources,
        "-lthrift", "-lssl", "-lcrypto", "-o", node.root / "client")
    subprocess.run([str(word) for word in command], check=True, timeout=10 * harness.PATIENCE_S)


class Thrift(harness.Command):
    """One call goes over framed binary; each way has the further cases."""

    protocol = "Thrift"
    faceplate = "thrift"
    more = ("buffered-binary", "framed-binary", "framed-compact", "buffered-compact")

    def environment(self):
        folder = self.node.root
        return {"PYTHONPATH": f"{folder}/gen-py", "RUBYLIB": f"{folder}/gen-rb"}

    def tries_more(self):
        for way in self.more:
            addresses = map(self.node.address, ("thrift", "typed", "http"))
            command = [str(word) for word in (*self.command, "more", way, *addresses)]
            subprocess.run(command, cwd=self.node.root, check=True,
                           env={**os.environ, **self.environment()}, timeout=harness.PATIENCE_S)
            # Its last act was to leave a call of many minutes behind.
            harness.until(lambda: self.node.running() == 0, "the call to be cancelled")


class Python(Thrift):
    name = "Apache Thrift, Python"
    command = (sys.executable, HERE / "client.py")
    more = (*Thrift.more, "old-binary", "http")


class Thriftpy2(Thrift):
    name = "thriftpy2"
    command = (sys.executable, HERE / "client_thriftpy2.py")


class Ruby(Thrift):
    name = "Apache Thrift, Ruby"
    needs = ("ruby", "/usr/share/doc/ruby-thrift")
    command = ("ruby", "-W0", HERE / "client.rb")
    more = (*Thrift.more, "http")


class Cpp(Thrift):
    name = "Apache Thrift, C++"
    needs = ("g++", "/usr/include/thrift/Thrift.h")
    command = ("./client",)
    more = (*Thrift.more, "http")


CLIENTS = (Python, Thriftpy2, Ruby, Cpp)

if __name__ == "__main__":
    harness.main(sys.modules[__name__])
