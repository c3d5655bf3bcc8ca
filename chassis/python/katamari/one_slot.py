"""A session with one slot: the main thread reads, runs and writes, without a lock.

This is the path that most workers take, so it does as little as it can: one read, one
write, and no other system call for a call that neither streams nor looks around.
"""

from __future__ import annotations

import os
import threading
from typing import Any, Callable, Dict, Mapping, Optional

from .describe import Description, Function
from .errors import Cancelled, ProtocolError
from .frames import (
    ANSWER,
    CALL,
    CANCEL,
    FLOW,
    INPUT,
    NESTED_ERROR,
    PING,
    QUIT,
    Frame,
    write_all,
)
from .session import Call, Session, T, manager_gone, nested_error, nested_value


class OneSlot(Session):
    """The one call is in `_call` while it runs; what arrives meanwhile is for it."""

    def __init__(
        self, description: Description, functions: Mapping[str, Function]
    ) -> None:
        super().__init__(description, functions)
        self._call: Optional[Call] = None
        self._thread = threading.get_ident()
        self._nested_id = 0
        self._quitting = False

    def serve(self) -> None:
        next_frame, start, execute = self.reader.next, self.start, self.execute
        write = os.write
        while not self._quitting:
            frame = next_frame()
            if frame is None:
                return
            frame_type, header, payload = frame
            if frame_type != CALL:
                self._take(frame)
                continue
            self._call = call = start(header)
            answer, last = execute(call, payload)
            self._call = None
            written = write(self.descriptor, answer)
            if written != len(answer):
                write_all(self.descriptor, answer[written:])
            if last:
                return

    def current(self) -> Optional[Call]:
        return self._call

    def refresh(self, call: Call) -> None:
        if threading.get_ident() != self._thread:
            return  # descriptor 3 belongs to the main thread
        while True:
            frame = self.reader.next_ready()
            if frame is None:
                return
            self._take(frame)

    def wait_for(self, call: Call, take: Callable[[], Optional[T]]) -> T:
        self._require_own_thread("wait for streams")
        self.refresh(call)
        while call.cancelled is None:
            taken = take()
            if taken is not None:
                return taken
            frame = self.reader.next()
            if frame is None:
                call.cancelled = "shutdown"  # nothing will ever come
                break
            self._take(frame)
        raise Cancelled(call.cancelled)

    def ask(self, call: Call, header: Dict[str, Any], payload: bytes) -> Any:
        self._require_own_thread("call the cluster")
        self._nested_id = nested_id = self._nested_id + 1
        self.write(self.nested_frame(nested_id, call, header, payload))
        while True:
            frame = self.reader.next()
            if frame is None:
                raise manager_gone()
            frame_type, answer, value = frame
            if answer.get("id") == nested_id:
                if frame_type == ANSWER:
                    return nested_value(answer, value)
                if frame_type == NESTED_ERROR:
                    raise nested_error(answer)
            self._take(frame)

    def detach(self) -> None:
        super().detach()
        self._call = None

    def _require_own_thread(self, what: str) -> None:
        if threading.get_ident() != self._thread:
            raise RuntimeError(
                f"with one slot, only the thread that runs the function can {what}"
            )

    def _take(self, frame: Frame) -> None:
        """Deals with a frame that is not the call or the answer waited for."""
        frame_type, header, payload = frame
        call = self._call
        if frame_type == PING:
            self.write(self.pong)
        elif frame_type == QUIT:
            self._quitting = True
        elif frame_type in (INPUT, FLOW, CANCEL):
            if call is not None and header.get("id") == call.id:
                if frame_type == INPUT:
                    if call.incoming is not None:
                        call.incoming.add(header, payload)
                elif frame_type == FLOW:
                    call.credit += header.get("bytes", 0)
                else:
                    call.cancelled = header.get("reason", "")
        elif frame_type in (ANSWER, NESTED_ERROR):
            pass  # to a nested call that an exception interrupted
        elif frame_type == CALL:
            raise ProtocolError("a call came while the only slot was taken")
        else:
            raise ProtocolError(f"a frame of the unknown type {chr(frame_type)!r}")
