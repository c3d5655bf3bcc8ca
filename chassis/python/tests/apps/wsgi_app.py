"""A WSGI application, watched by the checker of the standard library."""

from wsgiref.validate import validator


def plain(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/early":
        raise KeyError("before the response")
    if path == "/late":
        return late(start_response)
    if path == "/written":
        write = start_response("200 OK", [("Content-Type", "text/plain")])
        write(b"one ")
        return [b"two"]
    if path == "/nothing":
        start_response("204 No Content", [])
        return []
    if path == "/long":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"x" * 1000] * 1000
    if path == "/lines":
        lines = [line.rstrip() for line in environ["wsgi.input"]]
        start_response("200 OK", [("Content-Type", "text/plain")])
        length = str(environ.get("CONTENT_LENGTH"))
        return [length.encode() + b" " + b"|".join(lines)]
    if path == "/size":
        size = 0
        while chunk := environ["wsgi.input"].read(10_000):
            size += len(chunk)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [str(size).encode()]
    if path == "/first":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [environ["wsgi.input"].read(1)]
    if path == "/alone":
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [b"hello"]
    if path in ANNOUNCED:
        length, pieces = ANNOUNCED[path]
        start_response("200 OK", [("Content-Length", str(length))])
        return Told(path, pieces)
    length = int(environ.get("CONTENT_LENGTH") or 0)
    body = environ["wsgi.input"].read(length)
    keys = "REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING HTTP_X_TWICE".split()
    said = [f"{key}={environ.get(key)}" for key in keys]
    text = "\n".join(said).encode("latin-1") + b"\n" + body
    headers = [("Content-Type", "text/plain"), ("X-A", "1"), ("X-A", "2")]
    start_response("200 OK", headers)
    return [text]


ANNOUNCED = {
    "/announced": (5, [b"hello"]),
    "/beyond": (5, [b"hello", b"", b" world"]),
    "/parts": (5, [b"hel", b"lo"]),
    "/large": (300_000, [b"x" * 300_000]),
    "/after": (5, [b"hello", None]),
}


class Told:
    """A body that tells when it is closed, and raises a `KeyError` in place of None."""

    def __init__(self, path, pieces):
        self.path = path
        self.pieces = pieces

    def __iter__(self):
        for piece in self.pieces:
            if piece is None:
                raise KeyError("after the body")
            yield piece

    def close(self):
        print(f"{self.path} is closed", flush=True)


def late(start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    yield b"one"
    raise KeyError("in the middle")


app = validator(plain)
