"""A session: one conversation between this worker and its manager.

Here is what one slot and many have in common: the interrogation, running a call to the
frame that ends it, streams both ways, and what a nested call looks like. `one_slot`,
`many_slots` and `async_slots` add who reads, who writes, and who waits.
"""

from __future__ import annotations

from functools import partial
from time import monotonic
from typing import Any, Callable, Dict, Iterable, Mapping, Optional, Tuple, TypeVar

from .describe import Description, Function
from .descriptors import FROM_MANAGER, PROTOCOL, TO_MANAGER
from .errors import CallError, Cancelled, ProtocolError, TooLarge
from .failures import error_frame
from .frames import (
    GRANT,
    HELLO,
    NESTED,
    PING,
    PONG,
    QUIT,
    REPLY,
    STREAM,
    WELCOME,
    FrameReader,
    pack,
    write_all,
)
from .inputs import Incoming, Input
from .values import RAW_TYPES, Last, Payload, decode, dump_json, encode, scan_json

STREAM_CREDIT_DEFAULT = 256 * 1024
"""Bytes that a stream may send before the first flow frame, unless the welcome says."""

T = TypeVar("T")

_SPECIAL_TYPES = RAW_TYPES | {Last}
"""Types of results that a function's reply is not simply the JSON of."""


class Call:
    """A call that runs, and what has been heard about it since it came."""

    __slots__ = (
        "id",
        "header",
        "deadline",
        "cancelled",
        "credit",
        "incoming",
        "input",
    )

    def __init__(self, header: Mapping[str, Any], deadline: float, credit: int) -> None:
        self.id: int = header["id"]
        self.header = header
        self.deadline = deadline  # on the clock of `time.monotonic`
        self.cancelled: Optional[str] = None  # the reason, once it is
        self.credit = credit  # bytes that its stream may still send
        self.incoming = Incoming(credit) if header.get("input") else None
        self.input: Optional[Input] = None  # once the function asks for it

    def use_credit(self, size: int) -> Optional[bool]:
        """Uses up so many bytes of its credit. None if it has to wait for some."""
        if self.credit <= 0:
            return None
        self.credit -= size
        return True


class Session:
    """The common part; see the top of this file."""

    def __init__(
        self, description: Description, functions: Mapping[str, Function]
    ) -> None:
        self.description = description
        self.functions = functions
        self.reader = FrameReader(FROM_MANAGER)
        self.descriptor = TO_MANAGER
        self.frame_max = self.reader.frame_max
        self.stream_credit = STREAM_CREDIT_DEFAULT
        self.pong = pack(PONG, b"{}", b"", self.frame_max)

    # What the three differ in.

    def serve(self) -> None:
        """Answers calls until the manager says quit; one slot, until the last call."""
        raise NotImplementedError

    def current(self) -> Optional[Call]:
        """The call that the calling thread runs."""
        raise NotImplementedError

    def refresh(self, call: Call) -> None:
        """Takes in what the manager has sent; does not wait."""
        raise NotImplementedError

    def wait_for(self, call: Call, take: Callable[[], Optional[T]]) -> T:
        """What `take` gives, as soon as it gives something other than None.

        It is tried each time that something was heard about the call. Raises
        `Cancelled` if the call is cancelled.
        """
        raise NotImplementedError

    async def wait_for_async(self, call: Call, take: Callable[[], Optional[T]]) -> T:
        """The same in an async function."""
        raise RuntimeError("only async functions can await their input")

    def write(self, frame: bytes) -> None:
        """Writes a frame, whole."""
        write_all(self.descriptor, frame)

    def ask(self, call: Call, header: Dict[str, Any], payload: bytes) -> Any:
        """Makes a nested call and waits for its value. Raises `CallError`."""
        raise NotImplementedError

    async def ask_async(
        self, call: Call, header: Dict[str, Any], payload: bytes
    ) -> Any:
        """The same in an async function."""
        raise RuntimeError("only async functions can await a call of the cluster")

    # What they share.

    def run(self) -> None:
        """The whole session: interrogation, then calls, until its end."""
        try:
            if self._interrogate():
                self.serve()
        except BrokenPipeError:
            pass  # the manager is gone, as at the end of descriptor 3

    def _interrogate(self) -> bool:
        """Says hello and waits for the welcome. False if told to quit instead."""
        hello = dump_json(self.description).encode()
        header = b'{"protocol":%s}' % PROTOCOL.encode()
        self.write(pack(HELLO, header, hello, self.frame_max))
        while True:
            frame = self.reader.next()
            if frame is None or frame[0] == QUIT:
                return False
            frame_type, header, _ = frame
            if frame_type == WELCOME:
                self.frame_max = header.get("frame_max", self.frame_max)
                self.reader.frame_max = self.frame_max
                self.stream_credit = header.get("stream_credit", self.stream_credit)
                return True
            if frame_type != PING:
                raise ProtocolError(f"a frame {chr(frame_type)!r} before the welcome")
            self.write(self.pong)

    def start(self, header: Mapping[str, Any]) -> Call:
        """The call that a call frame brings; its time starts to run."""
        try:
            deadline = monotonic() + header["timeout_ms"] / 1000
            return Call(header, deadline, self.stream_credit)
        except (KeyError, TypeError) as error:
            raise ProtocolError(f"a call with a bad header: {error!r}") from None

    def execute(self, call: Call, payload: bytes) -> Tuple[bytes, bool]:
        """Runs a call. Returns the frame that ends it, and whether it is the last."""
        header = call.header
        last = False
        try:
            function = self.functions[header["function"]]
            result = self.begin(function, header, payload)
            if function.stream:
                result = self._stream(call, result)
            elif type(result) not in _SPECIAL_TYPES:  # the usual case, cut short
                body = dump_json(result).encode()
                return pack(REPLY, b'{"id":%d}' % call.id, body, self.frame_max), False
            if type(result) is Last:
                last = True
                result = result.value
            if function.stream and result is None:
                return self.reply(call, b"", None, last), last
            reply = self.reply(call, *encode(result), last)
            if function.stream:
                # Its last value is a last piece; no other will need what is left.
                self.wait_for(call, lambda: call.use_credit(0))
            return reply, last
        except (SystemExit, KeyboardInterrupt) as error:
            # Somebody wants this process to end. So it does, but in good order: its
            # caller learns why, and the call is not tried on one worker after another.
            return error_frame(call.id, error, True, self.frame_max), True
        except ProtocolError:
            raise  # met while the function looked around, and no fault of it
        except BaseException as error:
            return error_frame(call.id, error, last, self.frame_max), last

    def begin(
        self, function: Function, header: Mapping[str, Any], payload: bytes
    ) -> Any:
        """Calls a function with the arguments in a payload."""
        if "content_type" in header:
            arguments: Any = decode(payload, header["content_type"])
        else:
            arguments = scan_json(payload)
        if type(arguments) is dict:
            if function.converters:
                function.convert(arguments)
            return function.run(**arguments)
        return self._run_otherwise(function, arguments)

    def _run_otherwise(self, function: Function, arguments: Any) -> Any:
        """Runs a function with positional arguments, or with a payload as its first."""
        if type(arguments) is list:
            named = function.by_position(arguments)
            function.convert(named)
        elif type(arguments) is Payload:
            data = arguments.data if function.takes_bytes else arguments
            named = function.by_position([data])
        else:
            raise TypeError("arguments that are neither an object nor an array")
        return function.run(**named)

    def reply(
        self, call: Call, payload: bytes, content_type: Optional[str], last: bool
    ) -> bytes:
        """The frame of a reply."""
        fields: Dict[str, Any] = {"id": call.id}
        if content_type is not None:
            fields["content_type"] = content_type
        if last:
            fields["last"] = True
        return pack(REPLY, dump_json(fields).encode(), payload, self.frame_max)

    def _stream(self, call: Call, pieces: Iterable[Any]) -> Any:
        """Sends the pieces. Returns the value that the generator returned."""
        iterator = iter(pieces)
        try:
            while True:
                try:
                    piece = next(iterator)
                except StopIteration as end:
                    return end.value
                frame, size = self.piece(call, piece)
                use_credit = partial(call.use_credit, size)
                self.wait_for(call, use_credit)
                self.write(frame)
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()  # runs the `finally` of a generator that was cut short

    def piece(self, call: Call, value: Any) -> Tuple[bytes, int]:
        """The frame of one piece of a stream, and the credit that it needs."""
        payload, content_type = encode(value)
        header = b'{"id":%d}' % call.id
        if content_type is not None:
            fields = {"id": call.id, "content_type": content_type}
            header = dump_json(fields).encode()
        return pack(STREAM, header, payload, self.frame_max), len(payload)

    # What a function reads.

    def input(self) -> Input:
        """The input of the calling thread's call."""
        call = self.current()
        if call is None:
            return Input(None, None)
        if call.input is None:
            call.input = Input(self, call)
        return call.input

    def read_input(self, call: Call) -> bytes:
        """The next piece of an input, empty at its end. Raises `Cancelled`."""
        return self.wait_for(call, self._taking(call))

    async def read_input_async(self, call: Call) -> bytes:
        """The same in an async function."""
        return await self.wait_for_async(call, self._taking(call))

    def _taking(self, call: Call) -> Callable[[], Optional[bytes]]:
        """Grants what was consumed since; returns how to take the next piece."""
        incoming = call.incoming
        assert incoming is not None, "a call without an input has nothing to read"
        granted = incoming.grant(self.stream_credit)
        if granted:
            header = b'{"id":%d,"bytes":%d}' % (call.id, granted)
            self.write(pack(GRANT, header, b"", self.frame_max))
        return incoming.take

    # How a function looks around.

    def cancelled(self) -> bool:
        """Whether the calling thread's call is cancelled."""
        call = self.current()
        if call is None:
            return False
        if call.cancelled is None:
            self.refresh(call)
        return call.cancelled is not None

    def check_cancelled(self) -> None:
        """Raises `Cancelled` if the calling thread's call is cancelled."""
        call = self.current()
        if call is not None and self.cancelled():
            raise Cancelled(call.cancelled or "")

    def nested_frame(
        self, nested_id: int, call: Call, header: Dict[str, Any], payload: bytes
    ) -> bytes:
        """The frame of a nested call."""
        fields = {"id": nested_id, "parent": call.id, **header}
        try:
            return pack(NESTED, dump_json(fields).encode(), payload, self.frame_max)
        except TooLarge as error:
            raise CallError("too_large", str(error)) from None

    def detach(self) -> None:
        """Leaves the conversation to the parent: called in every forked child.

        `descriptors` has closed them; what is opened in their place is not the
        session's.
        """
        self.reader.descriptor = self.descriptor = -1


def nested_value(header: Mapping[str, Any], payload: bytes) -> Any:
    """The value of a nested answer."""
    return decode(payload, header.get("content_type"))


def nested_error(header: Mapping[str, Any]) -> CallError:
    """The exception of a nested error."""
    return CallError(str(header.get("code")), str(header.get("message")))


def manager_gone() -> CallError:
    """Why a nested call got no answer when descriptor 3 ended."""
    return CallError("stopping", "the manager has closed the connection")
