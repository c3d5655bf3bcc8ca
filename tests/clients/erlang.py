"""A node of Erlang that calls a Katamari node: erlang.escript's cases, one line each. With an epmd of
its own, so that it disturbs none that is there.

    KATAMARI=target/debug/katamari python3 tests/clients/erlang.py
"""

import os
import pathlib
import signal
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
KATAMARI = os.path.abspath(os.environ.get("KATAMARI", "target/debug/katamari"))
COOKIE = "a-cookie-of-the-tests"
NAME = "katamari@127.0.0.1"
PATIENCE_S = 60
CASES = ("ping", "call", "options", "error", "rpc", "rex", "erpc", "deadline", "dead_caller", "cast",
         "callers", "large", "names")

CONFIGURATION = """
[faceplate.http]
listen = "127.0.0.1:0"

[faceplate.erlang]
name = "{name}"
cookie_file = "{cookie_file}"
epmd = "127.0.0.1:{port}"
kinds = ["conformance", "nobody"]

[program.conformance]
command = ["python3", "{worker}"]
dialect = "json"
workers = 2
timeout = "30s"
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(what: str, look) -> None:
    end = time.monotonic() + PATIENCE_S
    while not look():
        if time.monotonic() > end:
            sys.exit(f"expected {what} in {PATIENCE_S} s")
        time.sleep(0.02)


class Epmd:
    """An epmd that can end and start again at its port."""

    def __init__(self, port: int):
        self.port = port
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(["epmd", "-port", str(self.port), "-address", "127.0.0.1"])
        until("epmd to answer", lambda: self.names() is not None)

    def names(self):
        try:
            with socket.create_connection(("127.0.0.1", self.port)) as connection:
                connection.sendall(b"\0\1n")
                return b"".join(iter(lambda: connection.recv(4096), b""))[4:]
        except OSError:
            return None

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def erlang(epmd: Epmd, case: str, cookie: str = COOKIE) -> subprocess.Popen:
    environment = {**os.environ, "ERL_EPMD_PORT": str(epmd.port)}
    return subprocess.Popen(["escript", str(HERE / "erlang.escript"), NAME, cookie, case],
                            stdout=subprocess.PIPE, text=True, env=environment)


def ended(client: subprocess.Popen) -> bool:
    """Prints what it said and whether all is well."""
    try:
        print(client.communicate(timeout=PATIENCE_S)[0], end="", flush=True)
    except subprocess.TimeoutExpired:
        client.kill()
        print(f"failed: {client.args[-1]} hangs")
    return client.returncode == 0


def up(folder: pathlib.Path) -> subprocess.Popen:
    ready = folder / "ready"
    ready.unlink(missing_ok=True)
    node = subprocess.Popen([KATAMARI, "up", "--ready-file", str(ready)], cwd=folder,
                            stdout=subprocess.DEVNULL)
    until("katamari up to be ready", lambda: node.poll() is not None or ready.exists())
    return node


def main() -> bool:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        cookie_file = folder / "cookie"
        cookie_file.write_text(f"{COOKIE}\n")
        cookie_file.chmod(0o400)
        epmd = Epmd(free_port())
        worker = REPOSITORY / "chassis/python/tests/conformance.py"
        (folder / "katamari.toml").write_text(CONFIGURATION.format(
            name=NAME, cookie_file=cookie_file, port=epmd.port, worker=worker))
        node = up(folder)
        is_known = lambda: b"name katamari at port" in (epmd.names() or b"")  # noqa: E731
        try:
            until("the node to be registered", is_known)
            fine = [ended(erlang(epmd, case)) for case in CASES]
            fine.append(ended(erlang(epmd, "wrong_cookie", "another")))
            epmd.stop()
            epmd.start()
            until("the node to register again", is_known)
            print("ok epmd_again")
            watcher = erlang(epmd, "killed")
            while watcher.stdout.readline() not in ("watching\n", ""):
                pass
            node.send_signal(signal.SIGKILL)
            node.wait()
            fine.append(ended(watcher))
            until("the node to be forgotten", lambda: not is_known())
            print("ok forgotten")
        finally:
            node.terminate()
            node.wait(PATIENCE_S)
            epmd.stop()
    return all(fine)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
