"""A session with several slots: a thread for each, and one that reads.

The reading thread hands calls to the slots' threads and is never kept waiting by a
function; frames are written under a lock. The main thread waits for the slots to end,
so that signals reach it. All threads are daemons: a function that does not return must
not keep a process alive whose session has ended.
"""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

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

Work = Tuple[Call, bytes]


class ManySlots(Session):
    """`_changed` guards everything that the reading thread and the slots share."""

    def __init__(
        self, description: Description, functions: Mapping[str, Function]
    ) -> None:
        super().__init__(description, functions)
        self._slots: int = description["slots"]
        self._work: SimpleQueue[Optional[Work]] = SimpleQueue()
        self._writing = threading.Lock()
        self._changed = threading.Condition()
        self._calls: Dict[int, Call] = {}
        self._nested: Dict[int, SimpleQueue[Optional[Frame]]] = {}
        self._nested_id = 0
        self._ended = False  # descriptor 3 is at its end
        self._failure: Optional[BaseException] = None
        self._own = threading.local()

    def serve(self) -> None:
        for thread in self.start_threads(self._slots):
            thread.join()
        if self._failure is not None:
            raise self._failure

    def start_threads(self, count: int) -> List[threading.Thread]:
        """Starts the reading thread and so many slots. Returns the slots."""
        slots = [
            threading.Thread(target=self._slot, name=f"slot-{number}", daemon=True)
            for number in range(count)
        ]
        for thread in slots:
            thread.start()
        threading.Thread(target=self._read, name="reader", daemon=True).start()
        return slots

    def write(self, frame: bytes) -> None:
        with self._writing:
            write_all(self.descriptor, frame)

    def current(self) -> Optional[Call]:
        return getattr(self._own, "call", None)

    def refresh(self, call: Call) -> None:
        pass  # the reading thread has done it

    def wait_for(self, call: Call, take: Callable[[], Optional[T]]) -> T:
        with self._changed:
            while call.cancelled is None:
                taken = take()
                if taken is not None:
                    return taken
                if self._ended:
                    call.cancelled = "shutdown"  # nothing will ever come
                    break
                self._changed.wait()
            raise Cancelled(call.cancelled)

    def ask(self, call: Call, header: Dict[str, Any], payload: bytes) -> Any:
        answers: SimpleQueue[Optional[Frame]] = SimpleQueue()
        with self._changed:
            if self._ended:
                raise manager_gone()
            self._nested_id = nested_id = self._nested_id + 1
            self._nested[nested_id] = answers
        try:
            self.write(self.nested_frame(nested_id, call, header, payload))
            frame = answers.get()
        finally:
            with self._changed:
                del self._nested[nested_id]
        if frame is None:
            raise manager_gone()
        frame_type, answer, value = frame
        if frame_type == NESTED_ERROR:
            raise nested_error(answer)
        return nested_value(answer, value)

    def detach(self) -> None:
        super().detach()
        self._own = threading.local()
        # Another thread, which the child does not have, may have held these.
        self._writing = threading.Lock()
        self._changed = threading.Condition()

    def _slot(self) -> None:
        """One slot's thread: runs one call after another."""
        try:
            while True:
                work = self._work.get()
                if work is None:
                    return
                call, payload = work
                self._own.call = call
                frame, last = self.execute(call, payload)
                self._own.call = None
                self.finish(call, frame, last)
        except BaseException as failure:
            self._fail(failure)

    def finish(self, call: Call, frame: bytes, last: bool) -> None:
        """Ends a call with this frame.

        After a last one the worker goes on: calls that the manager wrote before it read
        of that are on their way, and it says quit when all have ended.
        """
        with self._changed:
            del self._calls[call.id]
        self.write(frame)

    def _read(self) -> None:
        """The reading thread."""
        try:
            while True:
                frame = self.reader.next()
                if frame is None:
                    break
                self._take(frame)
        except BaseException as failure:
            self._fail(failure)
        with self._changed:
            self._ended = True
            self._changed.notify_all()
            for answers in self._nested.values():
                answers.put(None)
        self._stop()

    def _take(self, frame: Frame) -> None:
        frame_type, header, payload = frame
        if frame_type == CALL:
            call = self.start(header)
            with self._changed:
                self._calls[call.id] = call
            self.begin_call(call, payload)
        elif frame_type == PING:
            self.write(self.pong)
        elif frame_type == QUIT:
            self._stop()
        elif frame_type in (INPUT, FLOW, CANCEL):
            with self._changed:
                concerned = self._calls.get(header.get("id", -1))
                if concerned is None:
                    return  # it has ended meanwhile
                if frame_type == INPUT:
                    if concerned.incoming is not None:
                        concerned.incoming.add(header, payload)
                elif frame_type == FLOW:
                    concerned.credit += header.get("bytes", 0)
                else:
                    concerned.cancelled = header.get("reason", "")
                self._changed.notify_all()
            self.tell(concerned)
        elif frame_type in (ANSWER, NESTED_ERROR):
            with self._changed:
                answers = self._nested.get(header.get("id", -1))
            if answers is not None:  # else its parent has ended meanwhile
                answers.put(frame)
        else:
            raise ProtocolError(f"a frame of the unknown type {chr(frame_type)!r}")

    def tell(self, call: Call) -> None:
        """Something has been heard about a call."""

    def begin_call(self, call: Call, payload: bytes) -> None:
        """Hands a call to whoever runs it."""
        self._work.put((call, payload))

    def _stop(self) -> None:
        """Lets every slot finish the calls that came before, and end."""
        for _ in range(self._slots):
            self._work.put(None)

    def _fail(self, failure: BaseException) -> None:
        """Lets the main thread end the session with this failure."""
        if self._failure is None:
            self._failure = failure
        self._stop()
