"""Nodes of Erlang that call a Katamari node, by gen_server, rpc and erpc; with an epmd of their own, so
that they disturb none that is there.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/erlang_client.py
"""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys

import harness

HERE = pathlib.Path(__file__).resolve().parent
NEEDS = ("erl", "escript", "epmd")
COOKIE = "a-cookie-of-the-tests"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


EPMD_PORT = free_port()


def keys(alive):
    """What a node of that name has to say at each door."""
    def at(root, door):
        cookie_file = root / "cookie"
        if not cookie_file.exists():
            cookie_file.write_text(f"{COOKIE}\n", encoding="ascii")
            cookie_file.chmod(0o400)
        table = {"protocol": "erlang", "name": f"{alive}{door}@127.0.0.1",
                 "cookie_file": str(cookie_file), "epmd": f"127.0.0.1:{EPMD_PORT}"}
        return table | ({"kinds": ["conform"]} if door == "-token" else {})
    return at


FACEPLATES = {"erlang": keys("katamari")}


class Epmd:
    """An epmd that can end and start again at its port."""

    def start(self):
        self.process = subprocess.Popen(
            ["epmd", "-port", str(EPMD_PORT), "-address", "127.0.0.1"])
        harness.until(lambda: self.names() is not None, "epmd")

    def names(self):
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", EPMD_PORT)) as connection:
                connection.sendall(b"\0\1n")
                return b"".join(iter(lambda: connection.recv(4096), b""))[4:]
        return None

    def knows(self, alive):
        return f"name {alive} at port".encode() in (self.names() or b"")

    def stop(self):
        self.process.terminate()
        self.process.wait()


EPMD = Epmd()


@contextlib.contextmanager
def prepared(_):
    EPMD.start()
    try:
        for door in harness.DOORS:
            harness.until(lambda door=door: EPMD.knows(f"katamari{door}"), "the node is registered")
        yield
    finally:
        EPMD.stop()


class Erlang(harness.Command):
    """A node of Erlang; the last word of its command is how it calls."""

    protocol = "Erlang distribution"
    wishes = False
    written = staticmethod(harness.erlang_term)

    def address(self):
        return f"katamari{self.door}@127.0.0.1"

    def environment(self):
        environment = {"ERL_EPMD_PORT": str(EPMD_PORT), "COOKIE": COOKIE}
        if self.door == "-tls":
            options = self.node.mark("ssl_dist.conf")
            authority = self.node.mark("authority.pem")
            options.write_text(f'[{{client, [{{verify, verify_peer}}, {{cacertfile, "{authority}"}}]}}].')
            environment["ERL_FLAGS"] = f"-proto_dist inet_tls -ssl_dist_optfile {options}"
        return environment

    def refused_not_allowed(self):
        # What may be called stands at the door; the token is the cookie.
        type(self)(self.node, "-token").call("full", "echo", {"text": "x"})


class GenServer(Erlang):
    name = "Erlang, gen_server"
    command = ("escript", HERE / "erlang/client.escript", "gen_server")
    wishes = True
    more = ("ping", "call", "options", "error", "deadline", "dead_caller", "cast", "callers", "large",
            "names", "wrong_cookie")


class Rpc(Erlang):
    name = "Erlang, rpc"
    command = ("escript", HERE / "erlang/client.escript", "rpc")
    more = ("rpc", "rex")


class Erpc(Erlang):
    name = "Erlang, erpc"
    command = ("escript", HERE / "erlang/client.escript", "erpc")
    more = ("erpc",)


def epmd_again(_):
    """The node registers again when epmd starts anew."""
    EPMD.stop()
    EPMD.start()
    harness.until(lambda: EPMD.knows("katamari"), "the node registers again")


def killed(_):
    """A node that is killed is down to those that watch it, and forgotten by epmd."""
    environment = {**os.environ, "ERL_EPMD_PORT": str(EPMD_PORT), "COOKIE": COOKIE}
    with harness.Node(harness.conform({"erlang": keys("mortal")})) as node:
        harness.until(lambda: EPMD.knows("mortal"), "the node is registered")
        command = [*GenServer.command, "more", "mortal@127.0.0.1", "killed"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as watcher:
            assert watcher.stdout.readline() == "watching\n"
            node.process.send_signal(signal.SIGKILL)
            assert watcher.wait(harness.PATIENCE_S) == 0
        harness.until(lambda: not EPMD.knows("mortal"), "the node is forgotten")


GenServer.more += (epmd_again, killed)
CLIENTS = (GenServer, Rpc, Erpc)

if __name__ == "__main__":
    harness.main(sys.modules[__name__])
