"""A manager for tests: one worker, real pipes on its descriptors 3 and 4."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import sys
import tempfile
import termios
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
PACKAGE = os.path.dirname(HERE)

PATIENCE = 20.0
"""Seconds to wait for anything a worker must do; reached only when it does not."""

WELCOME = {"frame_max": 1 << 20, "stream_credit": 4096, "worker": 7}


class Frame(NamedTuple):
    type: str
    header: Dict[str, Any]
    payload: bytes

    def value(self) -> Any:
        return json.loads(self.payload)


def pack(frame_type: str, header: Dict[str, Any], payload: bytes = b"") -> bytes:
    encoded = json.dumps(header).encode()
    length = 3 + len(encoded) + len(payload)
    prefix = struct.pack(">IcH", length, frame_type.encode(), len(encoded))
    return prefix + encoded + payload


class EndOfFrames(Exception):
    """The worker has closed descriptor 4."""


class Manager:
    """Starts `python script arguments` as a worker and plays its manager."""

    def __init__(
        self,
        script: str,
        *arguments: str,
        environment: Optional[Dict[str, str]] = None,
        protocol: Optional[str] = "1",
        pipes: bool = True,
    ) -> None:
        to_worker, self._write = _pipe()
        self._read, from_worker = _pipe()
        self._log = tempfile.TemporaryFile()
        self._buffer = b""
        self._next_id = 0
        self.status: Optional[int] = None
        environ = {**os.environ, "PYTHONPATH": PACKAGE, **(environment or {})}
        for name in ("KATAMARI_PROTOCOL", "PYTHONUNBUFFERED"):
            environ.pop(name, None)
        if protocol is not None:
            environ["KATAMARI_PROTOCOL"] = protocol
        actions: List[Tuple[Any, ...]] = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, self._log.fileno(), 1),
            (os.POSIX_SPAWN_DUP2, self._log.fileno(), 2),
        ]
        if pipes:
            actions.append((os.POSIX_SPAWN_DUP2, to_worker, 3))
            actions.append((os.POSIX_SPAWN_DUP2, from_worker, 4))
        command = [sys.executable, os.path.join(HERE, script), *arguments]
        self.pid = os.posix_spawn(
            sys.executable, command, environ, file_actions=actions, setpgroup=0
        )
        os.close(to_worker)
        os.close(from_worker)

    def __enter__(self) -> Manager:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def interrogate(self, **welcome: Any) -> Dict[str, Any]:
        """Reads the hello, sends the welcome, returns the description."""
        hello = self.receive()
        assert (hello.type, hello.header) == ("H", {"protocol": 1}), hello
        self.send("W", {**WELCOME, **welcome})
        return hello.value()

    def send(
        self, frame_type: str, header: Dict[str, Any], payload: bytes = b""
    ) -> None:
        self.send_bytes(pack(frame_type, header, payload))

    def send_bytes(self, data: bytes) -> None:
        while data:
            data = data[os.write(self._write, data) :]

    def send_call(
        self, function: str, arguments: Any = None, timeout_ms: int = 60000, **more: Any
    ) -> int:
        """Sends a call; bytes go as they are. Returns the id."""
        self._next_id += 1
        header = {
            "id": self._next_id,
            "call": f"{self._next_id:016x}",
            "function": function,
            "timeout_ms": timeout_ms,
            "class": "normal",
            **more,
        }
        if not isinstance(arguments, bytes):
            arguments = json.dumps({} if arguments is None else arguments).encode()
        self.send("C", header, arguments)
        return self._next_id

    def receive(self, patience: float = PATIENCE) -> Frame:
        """The next frame. Raises `EndOfFrames`, or `TimeoutError` if none comes."""
        end = time.monotonic() + patience
        while True:
            if len(self._buffer) >= 4:
                size = 4 + struct.unpack_from(">I", self._buffer)[0]
                if len(self._buffer) >= size:
                    frame, self._buffer = self._buffer[:size], self._buffer[size:]
                    _, letter, header_size = struct.unpack_from(">IcH", frame)
                    header = json.loads(frame[7 : 7 + header_size])
                    return Frame(letter.decode(), header, frame[7 + header_size :])
            left = max(0.0, end - time.monotonic())
            if not select.select([self._read], [], [], left)[0]:
                raise TimeoutError(f"no frame; the worker's log:\n{self.log()}")
            data = os.read(self._read, 1 << 20)
            if not data:
                raise EndOfFrames(self.log())
            self._buffer += data

    def call(self, function: str, arguments: Any = None, **more: Any) -> Frame:
        """Sends a call and returns the frame that ends it, which must come next."""
        call_id = self.send_call(function, arguments, **more)
        frame = self.receive()
        assert frame.type in "RE" and frame.header["id"] == call_id, frame
        return frame

    def call_last(self, function: str, arguments: Any = None) -> Frame:
        """As `call`, of a function after which the worker exits.

        The quit with which a manager answers is read by workers of several slots; one
        with a single slot may be gone before it is sent.
        """
        frame = self.call(function, arguments)
        assert frame.header.get("last") is True, frame
        try:
            self.send("Q", {})
        except BrokenPipeError:
            pass
        return frame

    def end_of_input(self) -> None:
        """Closes descriptor 3."""
        os.close(self._write)
        self._write = -1

    def stop_reading(self) -> None:
        """Closes the reading end of descriptor 4."""
        os.close(self._read)
        self._read = -1

    def exit_status(self) -> int:
        """Waits for the worker to end; negative numbers are signals."""
        end = time.monotonic() + PATIENCE
        while self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > end:
                raise TimeoutError(f"the worker lives on; its log:\n{self.log()}")
            else:
                time.sleep(0.005)
        return self.status

    def log(self) -> str:
        """What the worker has written to stdout and stderr so far."""
        size = os.fstat(self._log.fileno()).st_size
        return os.pread(self._log.fileno(), size, 0).decode()

    def wait_until_unread(self, size: int) -> None:
        """Waits until the worker has written `size` bytes that were not received."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            unread = fcntl.ioctl(self._read, termios.FIONREAD, b"\0\0\0\0")
            if struct.unpack("i", unread)[0] >= size:
                return
            time.sleep(0.001)
        raise TimeoutError(f"nothing to read; the worker's log:\n{self.log()}")

    def close(self) -> None:
        """Kills the worker and whatever it has started."""
        if self.status is None:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.status = -signal.SIGKILL
        for descriptor in (self._write, self._read):
            if descriptor >= 0:
                os.close(descriptor)
        self._log.close()


def _pipe() -> Sequence[int]:
    """A pipe whose ends are far from 3 and 4, so that nothing is in their way."""
    low = os.pipe()
    high = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in low]
    for end in low:
        os.close(end)
    return high
