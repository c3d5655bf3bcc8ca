"""A session with async functions: one loop in the main thread runs all of them.

The rest is as with several slots: a thread reads, and other threads run the functions
that are not async, if there are some. The reading thread tells the loop of calls, of
cancels, of input and of credit in the order in which they come.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from functools import partial
from typing import (
    Any,
    AsyncIterable,
    Callable,
    Dict,
    List,
    Mapping,
    Optional,
    Tuple,
)

from .describe import Description, Function
from .errors import Cancelled
from .failures import error_frame
from .frames import NESTED_ERROR, Frame
from .many_slots import ManySlots
from .session import Call, T, manager_gone, nested_error, nested_value
from .values import Last, encode

_current: contextvars.ContextVar[Optional[Call]] = contextvars.ContextVar(
    "katamari_call", default=None
)
"""The call of a task, and of the tasks and threads that asyncio starts for it."""


class _Running:
    """A call that the loop runs. Only the loop's thread touches it."""

    __slots__ = ("task", "told", "waiting")

    def __init__(self, task: "asyncio.Task[Tuple[bytes, bool]]") -> None:
        self.task = task
        self.told = False  # of its cancellation: once is enough
        # Of its tasks that wait for credit or input.
        self.waiting: List[asyncio.Future[None]] = []

    def hear(self) -> None:
        """Lets whoever waits look again."""
        for future in self.waiting:
            _resolve(future, None)
        self.waiting.clear()


class _Answer:
    """Where the reading thread puts the answer to a nested call."""

    __slots__ = ("_loop", "call", "future")

    def __init__(self, loop: asyncio.AbstractEventLoop, call: Call) -> None:
        self._loop = loop
        self.call = call
        self.future: asyncio.Future[Optional[Frame]] = loop.create_future()

    def put(self, frame: Optional[Frame]) -> None:
        self._loop.call_soon_threadsafe(_resolve, self.future, frame)


def _resolve(future: "asyncio.Future[Any]", value: Any) -> None:
    if not future.done():
        future.set_result(value)


class AsyncSlots(ManySlots):
    """What `ManySlots` has is shared between threads, what is here is the loop's."""

    _loop: asyncio.AbstractEventLoop
    _over: "asyncio.Future[None]"

    def __init__(
        self, description: Description, functions: Mapping[str, Function]
    ) -> None:
        super().__init__(description, functions)
        self._running: Dict[int, _Running] = {}
        self._threads: List[threading.Thread] = []
        self._stopping = False

    def serve(self) -> None:
        asyncio.run(self._serve())
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = self._loop.create_future()
        plain = any(not function.asynchronous for function in self.functions.values())
        self._threads = self.start_threads(self._slots if plain else 0)
        await self._over

    def current(self) -> Optional[Call]:
        return _current.get() or super().current()

    def ask(self, call: Call, header: Dict[str, Any], payload: bytes) -> Any:
        _refuse_to_block("await worker.acall(...)")
        return super().ask(call, header, payload)

    def wait_for(self, call: Call, take: Callable[[], Optional[T]]) -> T:
        _refuse_to_block("`async for`, or await worker.input.aread(...)")
        return super().wait_for(call, take)

    async def ask_async(
        self, call: Call, header: Dict[str, Any], payload: bytes
    ) -> Any:
        if not _in_loop(self._loop):
            raise RuntimeError("only async functions can await a call of the cluster")
        answer = _Answer(self._loop, call)
        with self._changed:
            if self._ended:
                raise manager_gone()
            if self._calls.get(call.id) is not call:
                raise RuntimeError("the call of this task has ended")
            self._nested_id = nested_id = self._nested_id + 1
            self._nested[nested_id] = answer  # type: ignore[assignment]
        try:
            self.write(self.nested_frame(nested_id, call, header, payload))
            frame = await answer.future
        finally:
            with self._changed:
                del self._nested[nested_id]
        if frame is None:
            raise manager_gone()
        frame_type, answered, value = frame
        if frame_type == NESTED_ERROR:
            raise nested_error(answered)
        return nested_value(answered, value)

    def finish(self, call: Call, frame: bytes, last: bool) -> None:
        super().finish(call, frame, last)
        if last and self._slots == 1:  # then no call can be on its way
            self._stop()

    def detach(self) -> None:
        super().detach()
        _current.set(None)

    # Called by the reading thread.

    def begin_call(self, call: Call, payload: bytes) -> None:
        function = self.functions.get(call.header.get("function", ""))
        if function is None:
            self.finish(call, *self.execute(call, payload))  # which says so
        elif function.asynchronous:
            self._post(self._begin, call, function, payload)
        else:
            super().begin_call(call, payload)

    def tell(self, call: Call) -> None:
        self._post(self._heard, call)

    def _stop(self) -> None:
        super()._stop()
        self._post(self._stop_loop)

    def _post(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Lets the loop call this."""
        try:
            self._loop.call_soon_threadsafe(callback, *arguments)
        except RuntimeError:
            pass  # the loop is closed: the session is over

    # Called by the loop.

    def _begin(self, call: Call, function: Function, payload: bytes) -> None:
        task = self._loop.create_task(self._execute(call, function, payload))
        self._running[call.id] = _Running(task)
        task.add_done_callback(lambda task: self._done(call, task))

    def _heard(self, call: Call) -> None:
        running = self._running.get(call.id)
        if running is None:
            return
        running.hear()
        if call.cancelled is not None and not running.told:
            running.told = True
            running.task.cancel()

    def _done(self, call: Call, task: "asyncio.Task[Tuple[bytes, bool]]") -> None:
        del self._running[call.id]
        with self._changed:
            asked = [it for it in self._nested.values() if isinstance(it, _Answer)]
        for answer in asked:
            if answer.call is call:  # of a task that outlives its call: none will come
                answer.future.cancel()
        try:
            if task.cancelled():  # before its first step
                error = Cancelled(call.cancelled or "")
                outcome = error_frame(call.id, error, False, self.frame_max), False
            else:
                outcome = task.result()
            self.finish(call, *outcome)
        except BaseException as failure:
            self._fail(failure)
        self._end_if_done()

    def _stop_loop(self) -> None:
        self._stopping = True
        for running in self._running.values():
            running.hear()  # of the end of descriptor 3, if it is that
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._stopping and not self._running:
            _resolve(self._over, None)

    # The call's task.

    async def _execute(
        self, call: Call, function: Function, payload: bytes
    ) -> Tuple[bytes, bool]:
        """As `execute`."""
        _current.set(call)
        last = False
        try:
            result = self.begin(function, call.header, payload)
            if inspect.isawaitable(result):
                result = await result
            if function.stream:
                await self._send_pieces(call, result)
                return self.reply(call, b"", None, False), False
            if type(result) is Last:
                last = True
                result = result.value
            return self.reply(call, *encode(result), last), last
        except (SystemExit, KeyboardInterrupt) as error:
            return error_frame(call.id, error, True, self.frame_max), True
        except asyncio.CancelledError as error:
            reason = call.cancelled
            seen = error if reason is None else Cancelled(reason)
            return error_frame(call.id, seen, last, self.frame_max), last
        except BaseException as error:
            return error_frame(call.id, error, last, self.frame_max), last

    async def _send_pieces(self, call: Call, pieces: AsyncIterable[Any]) -> None:
        iterator = pieces.__aiter__()
        try:
            async for value in iterator:
                frame, size = self.piece(call, value)
                await self.wait_for_async(call, partial(call.use_credit, size))
                self.write(frame)
                await asyncio.sleep(0)  # a generator that never waits must let others
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()  # runs the `finally` of a generator that was cut short

    async def wait_for_async(self, call: Call, take: Callable[[], Optional[T]]) -> T:
        if not _in_loop(self._loop):
            raise RuntimeError("only async functions can await their input")
        running = self._running.get(call.id)
        if running is None:
            raise RuntimeError("the call of this task has ended")
        while True:
            with self._changed:
                if call.cancelled is None:
                    taken = take()
                    if taken is not None:
                        return taken
                    if self._ended:
                        call.cancelled = "shutdown"  # nothing will ever come
                if call.cancelled is not None:
                    if asyncio.current_task() is running.task:
                        running.told = True  # twice would cut the clean-up short
                    raise Cancelled(call.cancelled)
            heard = self._loop.create_future()
            running.waiting.append(heard)
            await heard


def _refuse_to_block(instead: str) -> None:
    if _current.get() is not None and _in_loop():
        raise RuntimeError(f"in an async function: {instead}, which lets others run")


def _in_loop(wanted: Optional[asyncio.AbstractEventLoop] = None) -> bool:
    """Whether the calling thread runs a loop; this one, if one is wanted."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return False
    return wanted is None or loop is wanted
