"""Serves a WSGI application (PEP 3333) as a worker.

python3 -m katamari.wsgi app:app [--kind NAME] [--slots NUMBER] [--root PATH]
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from typing import (
    Any,
    Callable,
    Dict,
    Generator,
    Iterable,
    Iterator,
    List,
    Optional,
    Tuple,
)

from .frames import READ_SIZE
from .http import PIECE_MAX, Request, load_app, pieces, response
from .inputs import Input
from .values import Payload
from .worker import Worker

Environ = Dict[str, Any]
App = Callable[..., Iterable[bytes]]


def environ_of(
    request: Request, body: Input, root: str = "", multithread: bool = False
) -> Environ:
    """The environment of a request. What stands before `root` is the application's.

    `body` is the call's input. What came of a body with the request is put before it.
    """
    body.unread(request.body)
    path = request.path.decode("latin-1")
    if root and (path == root or path.startswith(root + "/")):
        path = path[len(root) :]
    else:
        root = ""
    host, port = request.server()
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": root,
        "PATH_INFO": path,
        "QUERY_STRING": request.query,
        "SERVER_NAME": host,
        "SERVER_PORT": str(port),
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": request.remote,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": io.BufferedReader(body, READ_SIZE),
        "wsgi.input_terminated": True,  # it ends without a CONTENT_LENGTH, too
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": multithread,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    if body.given:
        if length := request.header("content-length"):
            environ["CONTENT_LENGTH"] = length
    elif request.body or request.method not in ("GET", "HEAD", "DELETE", "OPTIONS"):
        environ["CONTENT_LENGTH"] = str(len(request.body))
    for name, value in request.headers:
        if name == "content-type":
            environ["CONTENT_TYPE"] = value
        elif name != "content-length" and "_" not in name:
            # With an underscore it would pass for another one.
            key = "HTTP_" + name.upper().replace("-", "_")
            joint = "; " if name == "cookie" else ", "
            environ[key] = environ[key] + joint + value if key in environ else value
    return environ


class _Response:
    """What an application has said so far of its response."""

    def __init__(self, bodiless: bool) -> None:
        self._head: Optional[Tuple[int, List[Tuple[str, str]]]] = None
        self._begun = False
        self._bodiless = bodiless
        self._written: List[bytes] = []

    def start(self, status: str, headers: Any, exc_info: Any = None) -> Any:
        """`start_response`."""
        if exc_info is not None:
            try:
                if self._begun:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._head is not None:
            raise AssertionError("start_response was called twice")
        self._head = int(status.split(" ", 1)[0]), list(headers)
        return self._written.append

    def whole(self, data: bytes, alone: bool) -> Optional[Payload]:
        """The response, if `data` is all of its body: it is `alone`, or as announced.

        None otherwise, and of what does not fit one piece.
        """
        if self._begun or self._head is None or self._written or self._bodiless:
            return None
        if len(data) > PIECE_MAX or not (alone or self._announced(len(data))):
            return None
        self._begun = True
        return response(*self._head, data)

    def _announced(self, length: int) -> bool:
        assert self._head is not None
        return any(
            name.lower() == "content-length" and value == str(length)
            for name, value in self._head[1]
        )

    def take(self, data: bytes = b"", end: bool = False) -> Iterator[Payload]:
        """The pieces that can go out now, with `data` after what was written."""
        data = b"".join((*self._written, data))
        self._written.clear()
        if not data and not end:
            return
        if self._bodiless:
            data = b""
        if not self._begun:
            if self._head is None:
                raise RuntimeError("the application has not called start_response")
            self._begun = True
            yield response(*self._head, data[:PIECE_MAX])
            data = data[PIECE_MAX:]
        yield from pieces(data)


def answer(app: App, environ: Environ) -> Generator[Payload, None, Optional[Payload]]:
    """Runs the application on a request; gives the pieces of its response.

    A short response is no piece but what it returns, and so goes out in one frame, when
    the application is through with it.
    """
    said = _Response(environ["REQUEST_METHOD"] == "HEAD")
    body = app(environ, said.start)
    alone = isinstance(body, (list, tuple)) and len(body) == 1
    whole: Optional[Payload] = None
    try:
        for data in body:
            if whole is None:
                whole = said.whole(data, alone)
                if whole is None:
                    yield from said.take(data)
            elif data:
                break  # it is beyond the Content-Length
        if whole is None:
            whole = said.whole(b"", alone=True)  # if nothing has come
        if whole is None:
            yield from said.take(end=True)
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()
    return whole


def worker_of(app: App, kind: str, slots: int = 1, root: str = "") -> Worker:
    """A worker whose function `http` is the application."""
    worker = Worker(kind, slots=slots)

    @worker.function(name="http", stream=True, input=True)
    def http(request: bytes) -> Iterator[bytes]:
        """Answers an HTTP request."""
        environ = environ_of(Request(request), worker.input, root, slots > 1)
        return answer(app, environ)  # type: ignore[return-value]

    return worker


def options(description: str, slots: int) -> argparse.Namespace:
    """The command line of a runner."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("app", help="MODULE:NAME")
    parser.add_argument("--kind", help="what calls ask for; the module's name")
    parser.add_argument(
        "--slots", type=int, default=slots, help=f"requests at a time; {slots}"
    )
    parser.add_argument(
        "--root", default="", help="the path that the application is mounted at"
    )
    given = parser.parse_args()
    given.root = given.root.rstrip("/")
    return given


def main() -> None:
    given = options("Serves a WSGI application as a worker.", 1)
    sys.path.insert(0, os.getcwd())
    kind, app = load_app(given.app)
    worker_of(app, given.kind or kind, given.slots, given.root).run()


if __name__ == "__main__":
    main()
