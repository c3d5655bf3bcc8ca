"""Serves an ASGI 3 application as a worker: HTTP and lifespan, no WebSockets.

python3 -m katamari.asgi app:app [--kind NAME] [--slots NUMBER] [--root PATH]
"""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Optional

from .async_slots import AsyncSlots
from .http import PIECE_MAX, Request, load_app, pieces, response
from .inputs import Input
from .values import Payload
from .worker import Worker
from .wsgi import options

SLOTS = 100
"""Requests at a time, unless the command line says otherwise."""

Message = Dict[str, Any]
Scope = Dict[str, Any]
App = Callable[..., Awaitable[None]]

_VERSIONS = {"version": "3.0", "spec_version": "2.3"}


def scope_of(request: Request, state: Dict[str, Any], root: str = "") -> Scope:
    """The scope of a request."""
    headers = [(n.encode("latin-1"), v.encode("latin-1")) for n, v in request.headers]
    if request.body and not request.header("content-length"):
        headers.append((b"content-length", b"%d" % len(request.body)))
    return {
        "type": "http",
        "asgi": dict(_VERSIONS),
        "http_version": "1.1",
        "method": request.method.upper(),
        "scheme": request.scheme,
        "path": request.path.decode("utf-8", "replace"),
        "raw_path": request.raw_path,
        "query_string": request.query.encode("latin-1"),
        "root_path": root,
        "headers": headers,
        "client": (request.remote, 0) if request.remote else None,
        "server": request.server(),
        "state": dict(state),
    }


class _Exchange:
    """One request: `receive` and `send` of the application, and what came of them."""

    def __init__(self, request: Request, body: Input) -> None:
        body.unread(request.body)
        self._input = body
        self._received = False
        self._bodiless = request.method == "HEAD"
        self._over = asyncio.Event()
        self._start: Optional[Message] = None
        self._begun = False
        # One piece at a time, so that the application waits for its reader.
        self.pieces: "asyncio.Queue[Optional[Payload]]" = asyncio.Queue(1)

    async def receive(self) -> Message:
        if not self._received and not self._over.is_set():
            body = await self._body_piece()
            if body is not None:
                more = not self._received
                return {"type": "http.request", "body": body, "more_body": more}
        await self._over.wait()
        return {"type": "http.disconnect"}

    async def _body_piece(self) -> Optional[bytes]:
        """The next piece of the body; None if the response is over before it comes."""
        if not self._input.given:  # then there is nothing to wait for
            self._received = True
            return await self._input.aread()
        piece = asyncio.ensure_future(self._input.aread_piece())
        # Its exception is of no interest when the application is cancelled meanwhile.
        piece.add_done_callback(lambda task: task.cancelled() or task.exception())
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait((piece, over), return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():
                return None
            self._received = self._received or self._input.exhausted
            return piece.result()
        except asyncio.CancelledError:
            if piece.done() and not piece.cancelled() and not piece.exception():
                self._input.unread(piece.result())  # it came in this very step
            raise
        finally:
            piece.cancel()
            over.cancel()

    async def send(self, message: Message) -> None:
        if self._over.is_set():
            return
        sort = message["type"]
        if sort == "http.response.start" and self._start is None:
            self._start = message
        elif sort == "http.response.body" and self._start is not None:
            more = message.get("more_body", False)
            await self._body(self._start, bytes(message.get("body", b"")), more)
        else:
            raise RuntimeError(f"a message {sort!r} that does not fit here")

    async def _body(self, start: Message, body: bytes, more: bool) -> None:
        if self._bodiless:
            body = b""
        if not self._begun and (body or not more):
            self._begun = True
            headers = (
                (bytes(name).decode("latin-1"), bytes(value).decode("latin-1"))
                for name, value in start.get("headers", ())
            )
            await self.pieces.put(response(start["status"], headers, body[:PIECE_MAX]))
            body = body[PIECE_MAX:]
        for piece in pieces(body):
            await self.pieces.put(piece)
        if not more:
            self._over.set()
            await self.pieces.put(None)

    def leave(self) -> None:
        """Nobody waits for the response any more."""
        self._over.set()

    @property
    def is_whole(self) -> bool:
        return self._begun and self._over.is_set()


async def answer(
    app: App, scope: Scope, request: Request, body: Input
) -> AsyncIterator[Payload]:
    """Runs the application on a request; gives the pieces of its response.

    `body` is the call's input. What came of a body with the request is put before it.
    """
    exchange = _Exchange(request, body)
    run = asyncio.ensure_future(app(scope, exchange.receive, exchange.send))
    piece: "Optional[asyncio.Task[Optional[Payload]]]" = None
    try:
        while True:
            piece = asyncio.ensure_future(exchange.pieces.get())
            await asyncio.wait((run, piece), return_when=asyncio.FIRST_COMPLETED)
            if not piece.done():
                piece.cancel()
                run.result()  # raises what the application raised
                raise RuntimeError("the application has sent no whole response")
            payload = piece.result()
            if payload is None:
                break
            yield payload
        await run  # what it does after its response
    finally:
        exchange.leave()
        for task in (run, piece):
            if task is not None and not task.done():
                task.cancel()
        await asyncio.gather(run, return_exceptions=True)


class Lifespan:
    """The lifespan of an application, if it knows of such a thing."""

    def __init__(self, app: App) -> None:
        self._app = app
        self.state: Dict[str, Any] = {}
        self._task: "Optional[asyncio.Task[None]]" = None

    async def start(self) -> None:
        """Raises `RuntimeError` if the application says that it cannot start."""
        self._to_app: "asyncio.Queue[Message]" = asyncio.Queue()
        self._from_app: "asyncio.Queue[Message]" = asyncio.Queue()
        self._task = asyncio.ensure_future(self._run())
        await self._ask("startup")

    async def stop(self) -> None:
        await self._ask("shutdown")
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        scope = {"type": "lifespan", "asgi": dict(_VERSIONS), "state": self.state}
        await self._app(scope, self._to_app.get, self._from_app.put)

    async def _ask(self, what: str) -> None:
        task = self._task
        if task is None or task.done():
            return
        await self._to_app.put({"type": f"lifespan.{what}"})
        said = asyncio.ensure_future(self._from_app.get())
        await asyncio.wait((task, said), return_when=asyncio.FIRST_COMPLETED)
        if said.done():
            message = said.result()
            if message["type"] == f"lifespan.{what}.failed":
                raise RuntimeError(f"lifespan {what}: {message.get('message', '')}")
            return
        # An application that raises here does not know lifespans, says the standard.
        said.cancel()
        if not task.cancelled():
            task.exception()


class _Slots(AsyncSlots):
    """A session whose loop runs the lifespan around everything else."""

    lifespan: Lifespan

    def run(self) -> None:
        try:
            asyncio.run(self._live())
        except BrokenPipeError:
            pass  # the manager is gone
        if self._failure is not None:
            raise self._failure

    async def _live(self) -> None:
        await self.lifespan.start()
        if await asyncio.get_running_loop().run_in_executor(None, self._interrogate):
            await self._serve()
        await self.lifespan.stop()


class _Worker(Worker):
    lifespan: Lifespan

    def _new_session(self) -> AsyncSlots:
        session = _Slots(self._description, self._functions)
        session.lifespan = self.lifespan
        return session


def worker_of(app: App, kind: str, slots: int = SLOTS, root: str = "") -> Worker:
    """A worker whose function `http` is the application."""
    worker = _Worker(kind, slots=slots)
    worker.lifespan = lifespan = Lifespan(app)

    @worker.function(name="http", input=True)
    async def http(request: bytes) -> AsyncIterator[bytes]:
        """Answers an HTTP request."""
        asked = Request(request)
        scope = scope_of(asked, lifespan.state, root)
        response = answer(app, scope, asked, worker.input)
        try:
            async for piece in response:
                yield piece  # type: ignore[misc]
        finally:
            await response.aclose()  # type: ignore[attr-defined]

    return worker


def main() -> None:
    given = options("Serves an ASGI application as a worker.", SLOTS)
    sys.path.insert(0, os.getcwd())
    kind, app = load_app(given.app)
    worker_of(app, given.kind or kind, given.slots, given.root).run()


if __name__ == "__main__":
    main()
