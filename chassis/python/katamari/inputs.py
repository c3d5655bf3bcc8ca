"""The input of a call: a stream that comes beside its arguments while it runs.

No byte of it has come when the function begins: the first read grants as much as a
stream has credit, and each later one gives back what was consumed. So a slot never holds
more of an input than its credit.
"""

from __future__ import annotations

import io
from collections import deque
from typing import TYPE_CHECKING, Any, AsyncIterator, Deque, Mapping, Optional

if TYPE_CHECKING:
    from .session import Call, Session


GRANT_PORTIONS = 8
"""In how many portions the credit is given back, at the most."""


class Incoming:
    """What has come of a call's input and was not read; shared by the threads."""

    __slots__ = ("pieces", "ended", "content_type", "owed")

    def __init__(self, credit: int) -> None:
        self.pieces: Deque[bytes] = deque()
        self.ended = False  # no more will come
        self.content_type: Optional[str] = None
        self.owed = credit  # bytes to grant; only whoever reads touches it

    def add(self, header: Mapping[str, Any], piece: bytes) -> None:
        """A frame has brought a piece, or the end, or both."""
        if piece:
            self.pieces.append(piece)
        if "content_type" in header:
            self.content_type = header["content_type"]
        if header.get("end"):
            self.ended = True

    def take(self) -> Optional[bytes]:
        """The next piece, an empty one at the end; None if it has not come yet."""
        if not self.pieces:
            return b"" if self.ended else None
        piece = self.pieces.popleft()
        self.owed += len(piece)
        return piece

    def grant(self, credit: int) -> int:
        """How many bytes to grant now, by whoever is about to take a piece.

        An eighth of the credit at the least, so that not every piece costs a frame.
        """
        if self.ended or self.owed * GRANT_PORTIONS < credit:
            return 0
        granted, self.owed = self.owed, 0
        return granted

    @property
    def exhausted(self) -> bool:
        """Whether all of it was taken."""
        return self.ended and not self.pieces


class Input(io.RawIOBase):
    """The running call's input, as bytes.

        for piece in worker.input: ...         # as they come
        head = worker.input.read(512)          # fewer only at the end
        for line in io.BufferedReader(worker.input): ...

    It is a raw file, which the classes of `io` can be put around. In async functions it
    is `async for piece in worker.input`, and `await worker.input.aread(512)`.

    Whatever waits here raises `Cancelled` when the call is cancelled. A call without an
    input has an empty one.
    """

    def __init__(self, session: Optional[Session], call: Optional[Call]) -> None:
        self._session = session
        self._call = call
        self._rest = b""  # of a piece that was read in part

    @property
    def given(self) -> bool:
        """Whether the call came with an input, be it an empty one."""
        return self._call is not None and self._call.incoming is not None

    @property
    def content_type(self) -> Optional[str]:
        """What the client says that it is; known when the first piece was read."""
        incoming = self._call and self._call.incoming
        return incoming.content_type if incoming else None

    @property
    def exhausted(self) -> bool:
        """Whether it is known that nothing more comes."""
        incoming = self._call and self._call.incoming
        return not self._rest and (not incoming or incoming.exhausted)

    def unread(self, data: bytes) -> None:
        """Puts bytes in front of what comes next."""
        self._rest = data + self._rest

    def readable(self) -> bool:
        return True

    def __iter__(self) -> Input:
        return self

    def __next__(self) -> bytes:
        piece = self.read_piece()
        if not piece:
            raise StopIteration
        return piece

    def read(self, size: Optional[int] = -1) -> bytes:
        """So many bytes, fewer at the end; all that comes if `size` is negative."""
        reading = _Reading(size)
        while reading.missing:
            piece = self.read_piece()
            if not piece:
                break
            self._rest = reading.add(piece)
        return reading.whole()

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        """Fills the beginning of a buffer. Returns how many bytes, 0 at the end."""
        view = memoryview(buffer).cast("B")
        piece = self.read_piece() if len(view) else b""
        size = min(len(piece), len(view))
        view[:size] = piece[:size]
        self._rest = piece[size:]
        return size

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self.aread_piece()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def aread(self, size: Optional[int] = -1) -> bytes:
        """`read` for async functions."""
        reading = _Reading(size)
        while reading.missing:
            piece = await self.aread_piece()
            if not piece:
                break
            self._rest = reading.add(piece)
        return reading.whole()

    def read_piece(self) -> bytes:
        """The next piece, or what is left of one; empty at the end."""
        if self._rest or not self.given:
            return self._take_rest()
        assert self._session is not None and self._call is not None
        return self._session.read_input(self._call)

    async def aread_piece(self) -> bytes:
        """The next piece, empty at the end."""
        if self._rest or not self.given:
            return self._take_rest()
        assert self._session is not None and self._call is not None
        return await self._session.read_input_async(self._call)

    def _take_rest(self) -> bytes:
        rest, self._rest = self._rest, b""
        return rest


class _Reading:
    """A read of a certain size, which pieces are put together for."""

    def __init__(self, size: Optional[int]) -> None:
        self._unlimited = size is None or size < 0
        self._left = 0 if size is None else size
        self._parts: Deque[bytes] = deque()

    @property
    def missing(self) -> bool:
        return self._unlimited or self._left > 0

    def add(self, piece: bytes) -> bytes:
        """Takes what is wanted of a piece; returns what is not."""
        if self._unlimited:
            self._parts.append(piece)
            return b""
        self._parts.append(piece[: self._left])
        rest = piece[self._left :]
        self._left -= len(self._parts[-1])
        return rest

    def whole(self) -> bytes:
        return b"".join(self._parts)
