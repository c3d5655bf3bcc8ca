"""A manager for tests: starts one worker on real pipes and speaks dialect `json` with it.

It is written from docs/protocol/worker.md and shares no code with any chassis.
"""

import fcntl
import json
import os
import select
import signal
import struct
import tempfile
import time

PATIENCE_S = 20  # a worker that takes longer has failed the test


class Frame:
    def __init__(self, type, header, payload):
        self.type, self.header, self.payload = type, header, payload

    @property
    def value(self):
        return json.loads(self.payload)

    def __repr__(self):
        return f"Frame({self.type!r}, {self.header!r}, {self.payload[:200]!r})"


def _above_standard(descriptors):
    """Moves descriptors out of the way of 3 and 4."""
    moved = [fcntl.fcntl(d, fcntl.F_DUPFD_CLOEXEC, 10) for d in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    return moved


class Manager:
    """One worker and the manager's ends of its pipes. Use it as a context manager."""

    def __init__(self, command, protocol="1", cwd=None, env=None):
        worker_in, self.to_worker = _above_standard(os.pipe())
        self.from_worker, worker_out = _above_standard(os.pipe())
        self.log = tempfile.TemporaryFile()
        environment = {**os.environ, "KATAMARI_PROGRAM": "test", **(env or {})}
        environment.pop("KATAMARI_PROTOCOL", None)
        if protocol is not None:
            environment["KATAMARI_PROTOCOL"] = protocol
        null = os.open(os.devnull, os.O_RDONLY)
        old_folder = os.getcwd()
        os.chdir(cwd or old_folder)
        try:
            self.pid = os.posix_spawnp(
                command[0],
                command,
                environment,
                file_actions=[
                    (os.POSIX_SPAWN_DUP2, null, 0),
                    (os.POSIX_SPAWN_DUP2, self.log.fileno(), 1),
                    (os.POSIX_SPAWN_DUP2, self.log.fileno(), 2),
                    (os.POSIX_SPAWN_DUP2, worker_in, 3),
                    (os.POSIX_SPAWN_DUP2, worker_out, 4),
                ],
                setpgroup=0,
            )
        finally:
            os.chdir(old_folder)
            for descriptor in (null, worker_in, worker_out):
                os.close(descriptor)
        self.status = None
        self.buffer = b""
        self.next_id = 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.status is None:
            os.killpg(self.pid, signal.SIGKILL)
            self.wait()
        self.hang_up()
        os.close(self.from_worker)
        self.log.close()

    # Frames

    def send(self, type, header=None, payload=b""):
        head = json.dumps(header or {}).encode()
        body = struct.pack(">cH", type.encode(), len(head)) + head + payload
        data = struct.pack(">I", len(body)) + body
        while data:
            data = data[os.write(self.to_worker, data):]

    def receive(self, patience_s=PATIENCE_S):
        """The next frame; None at the end."""
        end = time.monotonic() + patience_s
        while True:
            if len(self.buffer) >= 4:
                (length,) = struct.unpack(">I", self.buffer[:4])
                if len(self.buffer) >= 4 + length:
                    break
            if not select.select([self.from_worker], [], [], max(0, end - time.monotonic()))[0]:
                raise TimeoutError(f"no frame from the worker within {patience_s} s; it printed: "
                                   + self.printed())
            data = os.read(self.from_worker, 1 << 20)
            if not data:
                assert not self.buffer, f"the worker ended in mid-frame: {self.buffer[:100]}"
                return None
            self.buffer += data
        type, head = struct.unpack(">cH", self.buffer[4:7])
        header = json.loads(self.buffer[7:7 + head])
        payload = self.buffer[7 + head:4 + length]
        self.buffer = self.buffer[4 + length:]
        return Frame(type.decode(), header, payload)

    def silent(self, seconds=0.2):
        """Whether the worker sends nothing for a while: the only way to see that it waits."""
        return not self.buffer and not select.select([self.from_worker], [], [], seconds)[0]

    # Conversations

    def introduce(self, **welcome):
        hello = self.receive()
        assert hello is not None and hello.type == "H", f"{hello}, it printed: {self.printed()}"
        assert hello.header == {"protocol": 1}, hello.header
        limits = {"frame_max": 16 * 1024 * 1024 + 65536, "stream_credit": 262144, "worker": 1}
        self.send("W", {**limits, **welcome})
        return hello.value

    def start_call(self, function, arguments=None, timeout_ms=10_000, payload=None, **header):
        id = self.next_id
        self.next_id += 1
        if payload is None:
            payload = json.dumps({} if arguments is None else arguments).encode()
        self.send("C", {"id": id, "call": f"{id:016x}", "function": function,
                        "timeout_ms": timeout_ms, "class": "normal", **header}, payload)
        return id

    def call(self, function, arguments=None, **header):
        """The frame that ends the call."""
        id = self.start_call(function, arguments, **header)
        answer = self.receive()
        assert answer is not None, f"the worker has gone; it printed: {self.printed()}"
        assert answer.header["id"] == id, answer
        return answer

    def result(self, function, arguments=None, **header):
        answer = self.call(function, arguments, **header)
        assert answer.type == "R", answer
        return answer.value

    def hang_up(self):
        if self.to_worker is not None:
            os.close(self.to_worker)
            self.to_worker = None

    def wait(self, patience_s=PATIENCE_S):
        """The exit status, negative for a signal."""
        pidfd = os.pidfd_open(self.pid)
        try:
            if not select.select([pidfd], [], [], patience_s)[0]:
                raise TimeoutError("the worker does not end")
        finally:
            os.close(pidfd)
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self.status

    def printed(self):
        self.log.flush()
        return os.pread(self.log.fileno(), 1 << 20, 0).decode(errors="replace")
