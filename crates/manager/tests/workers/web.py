"""A program that serves HTTP, on a port or a Unix socket, in different moods.

    web.py MOOD [MARKER]

`MOOD` is `good`, `sick` (its health never comes), `taken` (the first start, as `MARKER` tells, finds
its port taken), or `once` (dies in the first call of `/die-once`, as `MARKER` tells).
"""

import json
import os
import signal
import socket
import socketserver
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

MOOD = sys.argv[1]
MARKER = sys.argv[2] if len(sys.argv) > 2 else ""
going_down = threading.Event()
closed = []


def first_time():
    try:
        os.close(os.open(MARKER, os.O_CREAT | os.O_EXCL))
        return True
    except FileExistsError:
        return False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def address_string(self):
        return "client"

    def log_message(self, *_):
        pass

    def answer(self, status, body, content_type="application/json", headers=()):
        self.send_response(status)
        self.send_header("content-type", content_type)
        self.send_header("content-length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def parts(self):
        """The body as it comes; what is left of it is on the connection."""
        left = int(self.headers.get("content-length", 0))
        chunked = "chunked" in self.headers.get("transfer-encoding", "")
        while chunked or left:
            size = int(self.rfile.readline(), 16) if chunked else min(left, 65536)
            data = self.rfile.read(size)
            if len(data) < size:
                raise EOFError
            if chunked:
                self.rfile.readline()
                if not size:
                    return
            left -= size
            yield data

    def do(self):
        if self.path == "/early":
            self.close_connection = True
            return self.answer(200, b"enough", "text/plain")
        try:
            body = b"".join(self.parts())
        except (EOFError, ValueError):
            closed.append(self.path)
            self.close_connection = True
            return
        path, _, query = self.path.partition("?")
        if path == "/health":
            self.answer(503 if MOOD == "sick" else 204, b"")
        elif path.startswith("/status/"):
            self.answer(int(path[8:]), b"as you like it", "text/plain")
        elif path == "/die" or (path == "/die-once" and first_time()):
            print("about to fall over", file=sys.stderr, flush=True)
            os.kill(os.getpid(), signal.SIGKILL)
        elif path == "/drop":
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
        elif path == "/hang":
            # Until the other side closes.
            self.connection.recv(1)
            closed.append(path)
            self.close_connection = True
        elif path == "/closed":
            self.answer(200, json.dumps(closed).encode())
        elif path == "/flood":
            self.send_response(200)
            self.send_header("connection", "close")
            self.end_headers()
            try:
                while True:
                    self.wfile.write(b"x" * 65536)
            except OSError:
                pass
            self.close_connection = True
        elif path == "/stream":
            self.send_response(200)
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for number in range(int(query)):
                data = b"%d\n" % number * 1000
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            self.wfile.write(b"0\r\n\r\n")
        else:
            said = {
                "method": self.command,
                "path": self.path,
                "body": body.decode("latin-1"),
                "headers": {name.lower(): value for name, value in self.headers.items()},
                "client": id(self.connection),
                "pid": os.getpid(),
            }
            self.answer(200, json.dumps(said).encode(), headers=[("x-back", "yes")])

    do_GET = do_POST = do_HEAD = do_PUT = do_DELETE = do


class UnixServer(ThreadingHTTPServer):
    address_family = socket.AF_UNIX

    def server_bind(self):
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "localhost", 0

    def get_request(self):
        return self.socket.accept()[0], ("client", 0)


path = os.environ.get("KATAMARI_SOCKET")
if MOOD == "taken" and first_time():
    thief = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
if path:
    server = UnixServer(path, Handler)
else:
    server = ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler)
server.daemon_threads = True
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
server.serve_forever()
