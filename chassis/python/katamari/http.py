"""HTTP requests as calls: what a worker's function `http` is given and gives back.

A request is one payload, a response one or more: the length of the head as a u32, the
head as JSON, the body. The pieces of a response after the first are all body. A function
that declares `input` gets the body of a request so, and not in the payload, unless its
node is too old for that. `wsgi` and `asgi` stand on this; a worker can do so, too:

    from katamari import Worker
    from katamari.http import Request, response

    worker = Worker("hello")

    @worker.function(name="http", stream=True)
    def http(request: bytes) -> Iterator[bytes]:
        asked = Request(request)
        yield response(200, [("content-type", "text/plain")], asked.path)
"""

from __future__ import annotations

import json
import struct
from typing import Any, Dict, Iterable, Iterator, List, Tuple
from urllib.parse import unquote_to_bytes

from .describe import NAME
from .values import Payload, dump_json

CONTENT_TYPE = "application/vnd.katamari.http"

PIECE_MAX = 256 * 1024
"""Bytes of a body that go out in one piece."""

_LENGTH = struct.Struct(">I")

Headers = Iterable[Tuple[str, str]]


class Request:
    """A request. Names of headers are in lower case, characters of values are bytes."""

    __slots__ = ("method", "target", "headers", "remote", "scheme", "body")

    def __init__(self, packed: bytes) -> None:
        try:
            (length,) = _LENGTH.unpack_from(packed)
            head: Dict[str, Any] = json.loads(packed[4 : 4 + length])
            self.method: str = head["method"]
            self.target: str = head["target"]
            self.headers: List[Tuple[str, str]] = [
                (name.lower(), value) for name, value in head.get("headers", ())
            ]
            self.remote: str = head.get("remote") or ""
            self.scheme: str = head.get("scheme") or "http"
            self.body: bytes = packed[4 + length :]
        except (struct.error, KeyError, TypeError, ValueError, AttributeError) as error:
            raise ValueError(f"expected a request as {CONTENT_TYPE}: {error}") from None

    @property
    def raw_path(self) -> bytes:
        """The path as it came, without the query."""
        return self.target.partition("?")[0].encode("latin-1")

    @property
    def path(self) -> bytes:
        """The path without percent signs."""
        return unquote_to_bytes(self.raw_path)

    @property
    def query(self) -> str:
        """What comes after the question mark."""
        return self.target.partition("?")[2]

    def header(self, name: str, default: str = "") -> str:
        """The first header of this name, in lower case."""
        return next((value for known, value in self.headers if known == name), default)

    def server(self) -> Tuple[str, int]:
        """The host and the port that the client asked for."""
        port = 443 if self.scheme == "https" else 80
        host, colon, given = self.header("host", "localhost").rpartition(":")
        if colon and given.isdigit():
            return host, int(given)
        return self.header("host", "localhost"), port


def response(status: int, headers: Headers, body: bytes = b"") -> Payload:
    """The first piece of a response, or all of it."""
    head = dump_json({"status": status, "headers": [list(pair) for pair in headers]})
    encoded = head.encode()
    return Payload(_LENGTH.pack(len(encoded)) + encoded + body, CONTENT_TYPE)


def pieces(body: bytes) -> Iterator[Payload]:
    """What follows the first piece."""
    for start in range(0, len(body), PIECE_MAX):
        yield Payload(body[start : start + PIECE_MAX], CONTENT_TYPE)


def load_app(target: str) -> Tuple[str, Any]:
    """The application `module:name`, `name` being `app` if it is left out, and the kind
    that the module is named for."""
    import importlib

    module, _, name = target.partition(":")
    app: Any = importlib.import_module(module)
    for part in (name or "app").split("."):
        app = getattr(app, part)
    kind = module.rpartition(".")[2]
    return kind if NAME.fullmatch(kind) else "app", app
