"""Raw TCP with socat, nc and Python's socket.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/tcp_client.py
"""

import itertools
import json
import socket
import ssl
import struct
import subprocess
import sys

import harness

KIND_AND_FUNCTION = ("conform.echo", "conform.count", "conform.fail", "conform.nothing", "full.echo",
                     "nobody.echo", "brief.sleep", "mortal.die")
# A port is for one function.
FACEPLATES = {
    f"{framing}-{function.replace('.', '-')}": {
        "protocol": "tcp", "function": function, "framing": framing,
        "content_type": "application/json",
    }
    for framing in ("lines", "lengths", "close") for function in KIND_AND_FUNCTION
} | {
    # Who closes a connection has left, and not only said its last byte.
    f"{framing}-conform-wait": {
        "protocol": "tcp", "function": "conform.wait", "framing": framing,
        "content_type": "application/json", "half_close": False,
    }
    for framing in ("lines", "lengths")
}


class Tcp(harness.Client):
    """What clients of raw TCP share."""

    protocol = "raw TCP, lines"
    framing = "lines"
    wishes = False

    def address(self, kind, function):
        return self.node.address(f"{self.framing}-{kind}-{function}{self.door}")

    def call(self, kind, function, arguments, timeout_ms=None):
        return self.stream(kind, function, arguments)[0]

    def stream(self, kind, function, arguments):
        messages = [self.token] if self.token else []
        answers = self.exchange(self.address(kind, function), [*messages, json.dumps(arguments)])
        if isinstance(answers[0], dict):
            raise harness.Refused(answers[0]["error"]["code"])
        return answers

    def exchange(self, address, messages):
        """What comes for messages."""
        said = "".join(f"{message}\n" for message in messages)
        done = subprocess.run(self.command(address), input=said, stdout=subprocess.PIPE, text=True,
                              check=True, timeout=harness.PATIENCE_S)
        return [json.loads(line) for line in done.stdout.splitlines()]

    def begin(self, kind, function, arguments):
        command = self.command(self.address(kind, function))
        return harness.passed_on(command, f"{json.dumps(arguments)}\n")


class Socat(Tcp):
    name = "socat"
    needs = ("socat",)

    def command(self, address):
        return harness.socat(self.node, self.door, address)


class Netcat(Tcp):
    name = "nc"
    needs = ("/bin/nc.openbsd",)
    none = {"tls": "nc speaks no TLS"}

    def command(self, address):
        return ["/bin/nc.openbsd", "-N", *address.rsplit(":", 1)]


class Socket(Tcp):
    """Python's socket, until the node has said its last byte."""

    name = "Python's socket"

    def begin(self, kind, function, arguments):
        host, port = self.address(kind, function).rsplit(":", 1)
        opened = socket.create_connection((host, int(port)), harness.PATIENCE_S)
        opened.sendall(self.framed(json.dumps(arguments)))
        return opened.close

    def exchange(self, address, messages):
        host, port = address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), harness.PATIENCE_S) as opened:
            if self.door == "-tls":
                context = ssl.create_default_context(cafile=self.node.mark("authority.pem"))
                opened = context.wrap_socket(opened, server_hostname=host)
            opened.sendall(b"".join(map(self.framed, messages)))
            if self.door != "-tls":
                opened.shutdown(socket.SHUT_WR)
            with opened.makefile("rb") as reader:
                # Behind TLS there is no saying one's last byte alone.
                awaited = 1 if self.door == "-tls" else None
                return list(map(json.loads, itertools.islice(self.frames(reader), awaited)))


class Lengths(Socket):
    protocol = "raw TCP, lengths"
    framing = "lengths"

    def framed(self, message):
        return struct.pack(">I", len(message.encode())) + message.encode()

    def frames(self, reader):
        while head := reader.read(4):
            yield reader.read(*struct.unpack(">I", head))


class Close(Socket):
    protocol = "raw TCP, close"
    framing = "close"
    none = {"cancel": "its client half-closes, and still gets its answer",
            "not_allowed": "it has no place for a token", "tls": "TLS in Python says its last "
            "byte for both sides", "stream": "its pieces are not told apart"}

    def framed(self, message):
        return message.encode()

    def frames(self, reader):
        yield reader.read()


CLIENTS = (Socat, Netcat, Lengths, Close)

if __name__ == "__main__":
    harness.main(sys.modules[__name__])
