"""Puts all third-party clients through all cases, and says how each case of each client went: in a table
that is printed, and left in build/clients.md.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/run.py
"""

import importlib
import sys

import harness

# What gRPC starts in the process does not outlive a fork, by which others leave.
MODULES = ("http", "jsonrpc", "tcp", "bert", "thrift", "erlang", "grpc")


def main():
    table = harness.Table()
    for name in MODULES:
        try:
            module = importlib.import_module(f"{name}_client")
        except ModuleNotFoundError as error:
            table.missing("all of its clients", name, error.name)
            continue
        lacks = [need for need in getattr(module, "NEEDS", ()) if not harness.is_there(need)]
        if lacks:
            table.missing("all of its clients", name, " ".join(lacks))
        else:
            table.run(module)
    build = harness.REPOSITORY / "build"
    build.mkdir(exist_ok=True)
    (build / "clients.md").write_text(f"# Third-party clients\n\n{table.text()}", encoding="utf-8")
    return table.end()


if __name__ == "__main__":
    sys.exit(main())
