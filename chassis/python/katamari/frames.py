"""Frames: how bytes travel on both descriptors.

    u32 length | u8 type | u16 header length | header (JSON) | payload

The integers are big-endian; the length counts what follows it.
"""

from __future__ import annotations

import os
import select
from struct import Struct
from typing import Any, Dict, Optional, Tuple

from .errors import ProtocolError, TooLarge
from .values import scan_json

# To the worker.
WELCOME, PING, CALL, INPUT, FLOW, CANCEL, ANSWER, NESTED_ERROR, QUIT = b"WPCIFXABQ"
# From the worker.
HELLO, PONG, REPLY, ERROR, STREAM, GRANT, NESTED = b"HORESGN"

Frame = Tuple[int, Dict[str, Any], bytes]
"""Type, header, payload."""

FRAME_MAX_DEFAULT = 16 * 1024 * 1024 + 64 * 1024
"""The greatest length of a frame, in bytes, until the welcome says otherwise."""

HEADER_MAX = 0xFFFF
"""Bytes of a header: its length is a u16."""

READ_SIZE = 64 * 1024
"""Bytes asked for at a time: what a pipe holds, so that one read gets a whole call."""

READ_SIZE_MAX = 1024 * 1024
"""Bytes asked for at a time while a large frame is coming in."""

_PREFIX = Struct(">IBH")
_PREFIX_SIZE = _PREFIX.size
_LENGTH_SIZE = 4
_pack_prefix = _PREFIX.pack
_unpack_prefix = _PREFIX.unpack_from


def pack(frame_type: int, header: bytes, payload: bytes, frame_max: int) -> bytes:
    """One frame. Raises `TooLarge` if its length would exceed `frame_max`."""
    header_size = len(header)
    length = 3 + header_size + len(payload)
    if length > frame_max or header_size > HEADER_MAX:
        raise TooLarge(
            f"{len(payload)} bytes with a header of {header_size} do not fit into a "
            f"frame: at most {frame_max} bytes, {HEADER_MAX} of them the header"
        )
    return _pack_prefix(length, frame_type, header_size) + header + payload


def write_all(descriptor: int, data: bytes) -> None:
    """Writes all of `data`, however many writes that takes."""
    written = os.write(descriptor, data)
    if written != len(data):
        rest = memoryview(data)[written:]
        while rest:
            rest = rest[os.write(descriptor, rest) :]


class FrameReader:
    """Reads frames from a descriptor, usually a whole one with a single read.

    What was read beyond the current frame waits in a buffer.
    """

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor
        self.frame_max = FRAME_MAX_DEFAULT
        self._buffer = b""
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def next(self) -> Optional[Frame]:
        """The next frame; waits for it. None when the descriptor is at its end."""
        buffer = self._buffer or os.read(self.descriptor, READ_SIZE)
        size = len(buffer)
        if size < _PREFIX_SIZE:
            buffer = self._fill(buffer, _PREFIX_SIZE)
            size = len(buffer)
            if size < _PREFIX_SIZE:
                return None
        length, frame_type, header_size = _unpack_prefix(buffer)
        end = length + _LENGTH_SIZE
        if length > self.frame_max or header_size > length - 3:
            raise _bad_size(length, header_size)
        if size < end:
            buffer = self._fill(buffer, end)
            size = len(buffer)
            if size < end:
                return None
        body = _PREFIX_SIZE + header_size
        header = _header(buffer[_PREFIX_SIZE:body])
        if size == end:
            self._buffer = b""
            return frame_type, header, buffer[body:]
        self._buffer = buffer[end:]
        return frame_type, header, buffer[body:end]

    def next_ready(self) -> Optional[Frame]:
        """The next frame if it is here already, else None. Never waits."""
        while True:
            buffer = self._buffer
            if len(buffer) >= _PREFIX_SIZE:
                length = _unpack_prefix(buffer)[0]
                if len(buffer) >= length + _LENGTH_SIZE or length > self.frame_max:
                    return self.next()  # has all it needs, to return or to complain
            if not self._poll.poll(0):
                return None
            more = os.read(self.descriptor, READ_SIZE)
            if not more:
                return None  # `next` will meet the end again
            self._buffer = buffer + more

    def _fill(self, buffer: bytes, wanted: int) -> bytes:
        """Reads until the buffer holds `wanted` bytes; less at the end of input.

        Keeps what was read even if a signal's handler raises while it waits for more:
        the function that made this session read may catch that, and the next read
        must go on in the middle of the same frame.
        """
        chunks = [buffer]
        missing = wanted - len(buffer)
        try:
            while missing > 0:
                size = max(READ_SIZE, min(missing, READ_SIZE_MAX))
                chunk = os.read(self.descriptor, size)
                if not chunk:
                    break
                chunks.append(chunk)
                missing -= len(chunk)
        finally:
            self._buffer = b"".join(chunks)
        return self._buffer


def _bad_size(length: int, header_size: int) -> ProtocolError:
    return ProtocolError(
        f"a frame of {length} bytes with a header of {header_size}: above the limit, "
        "or the header is longer than the frame"
    )


def _header(data: bytes) -> Dict[str, Any]:
    try:
        header = scan_json(data)
    except ValueError as error:
        raise ProtocolError(f"a header that is not JSON: {error}") from None
    if type(header) is not dict:
        raise ProtocolError(f"a header that is not an object: {data[:100]!r}")
    return header
