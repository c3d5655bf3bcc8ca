"""What a program uses to be a worker."""

from __future__ import annotations

import math
import os
import sys
from time import monotonic
from typing import (
    Any,
    Callable,
    Dict,
    Iterable,
    Mapping,
    Optional,
    Sequence,
    Tuple,
    TypeVar,
    Union,
    overload,
)

from . import descriptors
from .async_slots import AsyncSlots
from .describe import FUNCTIONS_MAX, Function, describe_worker
from .errors import DescriptionError
from .inputs import Input
from .many_slots import ManySlots
from .one_slot import OneSlot
from .options import check_details, check_options
from .session import Call, Session
from .values import RAW_TYPES, encode

F = TypeVar("F", bound=Callable[..., Any])


class Worker:
    """A worker: define it, define its functions, then `run()`.

    `kind`, `versions`, `tags` and `roles` are its details. `slots` is how many calls it
    takes at a time; with more than one, each runs in a thread of its own, but for async
    functions, which share the loop of the main thread.
    """

    def __init__(
        self,
        kind: str,
        *,
        versions: Optional[Mapping[str, str]] = None,
        tags: Iterable[str] = (),
        roles: Iterable[str] = (),
        slots: int = 1,
    ) -> None:
        self._description = describe_worker(kind, versions or {}, tags, roles, slots)
        self._functions: Dict[str, Function] = {}
        self._session: Optional[Session] = None

    @overload
    def function(self, function: F) -> F: ...

    @overload
    def function(
        self,
        *,
        name: Optional[str] = None,
        idempotent: bool = False,
        stream: Optional[bool] = None,
        input: bool = False,
        examples: Iterable[Sequence[Any]] = (),
    ) -> Callable[[F], F]: ...

    def function(
        self,
        function: Optional[F] = None,
        *,
        name: Optional[str] = None,
        idempotent: bool = False,
        stream: Optional[bool] = None,
        input: bool = False,
        examples: Iterable[Sequence[Any]] = (),
    ) -> Union[F, Callable[[F], F]]:
        """Offers a function to the cluster, and leaves it as it is.

        Its docstring, parameters and type hints become its description. `idempotent`:
        it does no harm to run a call twice. `stream`: it returns an iterable whose
        items are the pieces of its reply; generators do so by themselves. `input`: it
        reads a stream beside its arguments, `worker.input`. `examples`: calls for its
        documentation, `(arguments, result)` each, or `(arguments,)`.
        """

        def define(function: F) -> F:
            defined = Function(function, name, idempotent, stream, examples, input)
            key = defined.description["name"]
            if key in self._functions:
                raise DescriptionError(f"function {key} is defined twice")
            if len(self._functions) == FUNCTIONS_MAX:
                raise DescriptionError(f"more than {FUNCTIONS_MAX} functions")
            self._functions[key] = defined
            self._description["functions"].append(defined.description)
            return function

        return define if function is None else define(function)

    def run(self) -> None:
        """Answers calls until the manager says quit; then returns.

        Exits with status 64 if the program was started without a manager.
        """
        if not self._functions:
            raise DescriptionError("a worker needs at least one function")
        descriptors.require_manager()
        reconfigure = getattr(sys.stdout, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)  # a log line is wanted when it is printed
        self._session = session = self._new_session()
        os.register_at_fork(after_in_child=session.detach)
        session.run()

    def _new_session(self) -> Session:
        functions = self._functions.values()
        if any(function.asynchronous for function in functions):
            return AsyncSlots(self._description, self._functions)
        if self._description["slots"] == 1:
            return OneSlot(self._description, self._functions)
        return ManySlots(self._description, self._functions)

    def call(self, target: str, /, *arguments: Any, **named: Any) -> Any:
        """Calls `"kind.function"` in the cluster and returns the value.

        See `Caller`, which has more to choose.
        """
        kind, function = _split(target)
        return self.caller(kind)(function, *arguments, **named)

    async def acall(self, target: str, /, *arguments: Any, **named: Any) -> Any:
        """`call` for async functions: `await worker.acall("kind.function")`."""
        kind, function = _split(target)
        return await self.caller(kind).acall(function, *arguments, **named)

    def caller(
        self,
        kind: str,
        *,
        versions: Optional[Mapping[str, str]] = None,
        tags: Iterable[str] = (),
        roles: Iterable[str] = (),
        timeout: Optional[float] = None,
        key: Optional[str] = None,
        class_: Optional[str] = None,
        idempotent: Optional[bool] = None,
    ) -> Caller:
        """A `Caller` of the workers with these details.

        `timeout`, in seconds, can only shorten the running call's own, and an infinite
        one does not; `class_`, `"high"`, `"normal"` or `"low"`, can only lower its
        class; calls of one `key` go to the same version; `idempotent`: it does no harm
        to run these calls twice. Raises `TypeError` or `ValueError` for anything else.
        """
        details = check_details(kind, versions or {}, tags, roles)
        options = check_options(timeout, key, class_, idempotent)
        return Caller(self, details, options)

    @property
    def input(self) -> Input:
        """What the running call streams to its function; empty outside of calls."""
        return self._session.input() if self._session else Input(None, None)

    @property
    def call_id(self) -> Optional[str]:
        """The running call's public id, the one in the manager's logs; None outside."""
        return self._said_of_call("call")

    @property
    def call_key(self) -> Optional[str]:
        """The key of the running call; None if it has none, and outside."""
        return self._said_of_call("key")

    @property
    def call_class(self) -> Optional[str]:
        """`"high"`, `"normal"` or `"low"`, as the running call is; None outside."""
        return self._said_of_call("class")

    def _said_of_call(self, name: str) -> Optional[str]:
        call = self._session and self._session.current()
        return call.header.get(name) if call else None

    def remaining(self) -> float:
        """Seconds until the running call's deadline, 0 after it; infinite outside."""
        call = self._session and self._session.current()
        return max(0.0, call.deadline - monotonic()) if call else math.inf

    @property
    def cancelled(self) -> bool:
        """Whether the running call was cancelled. Cheap enough for a loop."""
        return self._session is not None and self._session.cancelled()

    def check_cancelled(self) -> None:
        """Raises `Cancelled` if the running call was cancelled."""
        if self._session is not None:
            self._session.check_cancelled()


class Caller:
    """Calls functions of workers with certain details; made by `Worker.caller`.

        parse = worker.caller("parse", versions={"grammar": "5.12.0"}, timeout=0.5)
        tree = parse("linkage", text="a sentence")
        tree = await parse.acall("linkage", text="a sentence")  # in async functions

    Arguments are given by name, by position, or as one `Payload`, `bytes`, `bytearray`
    or `memoryview`. The value of a function that streams is the list of its pieces.
    Raises `CallError`.
    """

    def __init__(
        self, worker: Worker, details: Dict[str, Any], options: Dict[str, Any]
    ) -> None:
        self._worker = worker
        self._header = {"details": details, **options}

    def __call__(self, function: str, /, *arguments: Any, **named: Any) -> Any:
        session, call, header, payload = self._prepare(function, arguments, named)
        return session.ask(call, header, payload)

    async def acall(self, function: str, /, *arguments: Any, **named: Any) -> Any:
        """The same for async functions."""
        session, call, header, payload = self._prepare(function, arguments, named)
        return await session.ask_async(call, header, payload)

    def _prepare(
        self, function: str, arguments: Tuple[Any, ...], named: Dict[str, Any]
    ) -> Tuple[Session, Call, Dict[str, Any], bytes]:
        """What there is to send, and for which call."""
        session = self._worker._session
        call = session and session.current()
        if session is None or call is None:
            raise RuntimeError("the cluster can be called only while a call runs")
        if not isinstance(function, str):
            raise TypeError(f"expected a function's name, not {function!r}")
        if arguments and named:
            raise TypeError("arguments go either by position or by name")
        header = {**self._header, "function": function}
        given: Any = arguments or named
        if len(arguments) == 1 and type(arguments[0]) in RAW_TYPES:
            given = arguments[0]
        payload, content_type = encode(given)
        if content_type is not None:
            header["content_type"] = content_type
        return session, call, header, payload


def _split(target: str) -> Tuple[str, str]:
    if not isinstance(target, str) or "." not in target:
        raise ValueError(f'expected "kind.function", not {target!r}')
    kind, _, function = target.partition(".")
    return kind, function
