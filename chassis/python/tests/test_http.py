"""The runners of WSGI and ASGI applications."""

import asyncio
import json
import struct
import sys
import unittest
from typing import Any, Dict, List, Tuple

from fake_manager import PACKAGE, WELCOME, Frame, Manager

sys.path.insert(0, PACKAGE)

from katamari.asgi import _Exchange  # noqa: E402
from katamari.http import Request  # noqa: E402
from katamari.inputs import Input  # noqa: E402

CONTENT_TYPE = "application/vnd.katamari.http"


def pack(method: str, target: str, body: bytes = b"", headers: Any = ()) -> bytes:
    head = {"method": method, "target": target, "headers": list(headers)}
    encoded = json.dumps(head).encode()
    return struct.pack(">I", len(encoded)) + encoded + body


class Runner(unittest.TestCase):
    def run_app(self, *arguments: str) -> Dict[str, Any]:
        self.manager = Manager("run_module.py", *arguments)
        self.addCleanup(self.manager.close)
        return self.manager.interrogate()

    def begin(self, *request: Any, **more: Any) -> int:
        packed = pack(*request, **more)
        return self.manager.send_call("http", packed, content_type=CONTENT_TYPE)

    def upload(self, target: str, pieces: Any, headers: Any = ()) -> int:
        """Begins a request whose body is an input; the first piece may need a grant."""
        packed = pack("POST", target, headers=headers)
        call = self.manager.send_call(
            "http", packed, content_type=CONTENT_TYPE, input=True
        )
        grant = self.manager.receive()
        self.assertEqual(grant.type, "G", grant)
        for piece in pieces:
            self.manager.send("I", {"id": call}, piece)
        return call

    def end_upload(self, call: int) -> None:
        self.manager.send("I", {"id": call, "end": True})

    def finish(self) -> Tuple[List[bytes], Frame]:
        """The pieces of a stream, and the frame that ends it."""
        pieces = []
        while True:
            frame = self.manager.receive()
            if frame.type == "G":
                continue
            if frame.type != "S":
                return pieces, frame
            self.assertEqual(frame.header["content_type"], CONTENT_TYPE)
            pieces.append(frame.payload)
            flow = {"id": frame.header["id"], "bytes": len(frame.payload)}
            self.manager.send("F", flow)

    def ask(self, *request: Any, **more: Any) -> Tuple[int, List[List[str]], bytes]:
        self.begin(*request, **more)
        return self.response()

    def response(self) -> Tuple[int, List[List[str]], bytes]:
        pieces, end = self.finish()
        self.assertEqual(end.type, "R", end)
        if end.payload:
            self.assertEqual(end.header["content_type"], CONTENT_TYPE)
            pieces.append(end.payload)
        (length,) = struct.unpack_from(">I", pieces[0])
        head = json.loads(pieces[0][4 : 4 + length])
        return head["status"], head["headers"], b"".join(pieces)[4 + length :]

    def error(self, *request: Any) -> Tuple[List[bytes], Frame]:
        self.begin(*request)
        pieces, end = self.finish()
        self.assertEqual(end.type, "E", end)
        return pieces, end


class Wsgi(Runner):
    def test_it_announces_http(self) -> None:
        hello = self.run_app("katamari.wsgi", "wsgi_app:app", "--slots", "3")
        self.assertEqual(hello["kind"], "wsgi_app")
        self.assertEqual(hello["slots"], 3)
        (function,) = hello["functions"]
        self.assertEqual(function["name"], "http")
        self.assertTrue(function["stream"])
        self.assertTrue(function["input"])
        self.assertEqual(function["parameters"][0]["type"], "bytes")
        self.assertEqual(function["result"], "bytes")

    def test_a_request_becomes_an_environment(self) -> None:
        self.run_app("katamari.wsgi", "wsgi_app", "--root", "/app", "--kind", "shop")
        headers = [["x-twice", "1"], ["X-Twice", "2"], ["x_twice", "3"]]
        headers.append(["content-length", "99"])
        request = ("POST", "/app/a%20b?c=%20", b"\xffbody")
        status, given, body = self.ask(*request, headers=headers)
        self.assertEqual(status, 200)
        self.assertEqual(given[1:], [["X-A", "1"], ["X-A", "2"]])
        expected = b"REQUEST_METHOD=POST\nSCRIPT_NAME=/app\nPATH_INFO=/a b\n"
        expected += b"QUERY_STRING=c=%20\nHTTP_X_TWICE=1, 2\n\xffbody"
        self.assertEqual(body, expected)

    def test_a_body_comes_while_the_application_reads_it(self) -> None:
        self.run_app("katamari.wsgi", "wsgi_app")
        call = self.upload("/lines", [b"a\nb", b"c\n"], [["content-length", "7"]])
        self.end_upload(call)
        self.assertEqual(self.response()[2], b"7 a|bc")
        call = self.upload("/lines", [b"a\nb"])
        self.end_upload(call)
        self.assertEqual(self.response()[2], b"None a|b")

    def test_an_upload_takes_no_memory(self) -> None:
        self.run_app("katamari.wsgi", "wsgi_app")
        piece, count = b"x" * 65536, 1024  # 64 MiB
        credit, before = WELCOME["stream_credit"], self.memory_kib()
        call = self.upload("/size", [])
        for _ in range(count):
            while credit <= 0:
                grant = self.manager.receive()
                self.assertEqual(grant.type, "G", grant)
                credit += grant.header["bytes"]
            self.manager.send("I", {"id": call}, piece)
            credit -= len(piece)
        self.end_upload(call)
        self.assertEqual(self.response()[2], str(len(piece) * count).encode())
        self.assertLess(self.memory_kib() - before, 16 * 1024)

    def memory_kib(self) -> int:
        """The most that the worker has held at a time."""
        with open(f"/proc/{self.manager.pid}/status") as status:
            (line,) = (line for line in status if line.startswith("VmHWM"))
        return int(line.split()[1])

    def test_a_response_may_end_before_the_body(self) -> None:
        self.run_app("katamari.wsgi", "wsgi_app")
        call = self.upload("/first", [b"abc", b"def"], [["content-length", "1000000"]])
        self.assertEqual(self.response()[2], b"a")
        self.end_upload(call)
        self.assertEqual(self.ask("GET", "/nothing"), (204, [], b""))

    def test_responses_of_all_sorts(self) -> None:
        self.run_app("katamari.wsgi", "wsgi_app:app")
        self.assertEqual(self.ask("GET", "/written")[2], b"one two")
        self.assertEqual(self.ask("GET", "/nothing"), (204, [], b""))
        self.assertEqual(self.ask("GET", "/long")[2], b"x" * 1000000)
        status, _, body = self.ask("HEAD", "/long")
        self.assertEqual((status, body), (200, b""))

    def test_a_short_response_is_one_frame(self) -> None:
        self.run_app("katamari.wsgi", "wsgi_app:plain")
        for path in ("/alone", "/announced", "/beyond"):
            self.begin("GET", path)
            frame = self.manager.receive()
            self.assertEqual(frame.type, "R", (path, frame))
            self.assertEqual(frame.header["content_type"], CONTENT_TYPE)
            self.assertTrue(frame.payload.endswith(b"]]}hello"), frame)
            closed = self.manager.log().count(f"{path} is closed")
            self.assertEqual(closed, path != "/alone", "before it goes out")
        self.begin("GET", "/nothing")
        self.assertEqual(self.manager.receive().type, "R")
        for path in ("/announced", "/parts", "/written", "/large"):
            method = "HEAD" if path == "/announced" else "GET"
            self.begin(method, path)
            pieces, end = self.finish()
            self.assertEqual((end.type, end.payload), ("R", b""), path)
            self.assertGreaterEqual(len(pieces), 1)

    def test_a_failure_after_the_body_is_an_error(self) -> None:
        self.run_app("katamari.wsgi", "wsgi_app:plain")
        pieces, end = self.error("GET", "/after")
        self.assertEqual((pieces, end.header["type"]), ([], "KeyError"))

    def test_what_the_application_raises_is_an_error(self) -> None:
        self.run_app("katamari.wsgi", "wsgi_app:app")
        pieces, end = self.error("GET", "/early")
        self.assertEqual((pieces, end.header["type"]), ([], "KeyError"))
        pieces, end = self.error("GET", "/late")
        self.assertTrue(pieces[0].endswith(b"one"))
        self.assertIn("in the middle", end.header["message"])
        self.assertEqual(self.ask("GET", "/nothing")[0], 204)

    def test_what_is_no_request_is_refused(self) -> None:
        self.run_app("katamari.wsgi", "wsgi_app:app")
        for payload in (b"", b"\0\0\0\2[]", b"\0\0\0\2{}", b"\0\0\0\2{x"):
            self.manager.send_call("http", payload, content_type=CONTENT_TYPE)
            _, end = self.finish()
            self.assertEqual((end.type, end.header["type"]), ("E", "ValueError"))


class Cancelling(Input):
    """An input that cancels its reader in the step in which its only piece comes."""

    given = True
    exhausted = False
    reader: "asyncio.Task[Any]"

    def __init__(self) -> None:
        super().__init__(None, None)
        self.left = b"piece"

    async def aread_piece(self) -> bytes:
        if self.left:
            self.left = b""
            self.reader.cancel()
            return b"piece"
        return self._take_rest()


class Asgi(Runner):
    def test_a_request_becomes_a_scope(self) -> None:
        hello = self.run_app("katamari.asgi", "asgi_app:app", "--slots", "7")
        self.assertEqual((hello["kind"], hello["slots"]), ("asgi_app", 7))
        self.assertTrue(hello["functions"][0]["stream"])
        self.assertTrue(hello["functions"][0]["input"])
        status, headers, body = self.ask("PUT", "/%C3%A9?q=1", b"body")
        self.assertEqual(status, 201)
        self.assertEqual(headers[1], ["x-a", "\xe9"])
        said = body.decode().split("\n")
        expected = ["PUT", "/\xe9", "/%C3%A9", "q=1", "{'started': True}", "body"]
        self.assertEqual(said, expected)

    def test_a_body_comes_while_the_application_reads_it(self) -> None:
        self.run_app("katamari.asgi", "asgi_app:app")
        call = self.upload("/sizes", [b"a" * 10, b"b" * 20])
        self.end_upload(call)
        self.assertEqual(self.response()[2], b"[10, 20]")
        call = self.upload("/sizes", [b"a" * 10])
        self.manager.send("I", {"id": call, "end": True}, b"b" * 20)
        self.assertEqual(self.response()[2], b"[10, 20]")

    def test_a_response_may_end_before_the_body(self) -> None:
        self.run_app("katamari.asgi", "asgi_app:app")
        call = self.upload("/first", [b"a" * 10])
        self.assertEqual(self.response()[2], b"10")
        self.end_upload(call)
        self.ask("GET", "/")
        self.assertIn("then http.disconnect", self.manager.log())

    def test_a_cancelled_upload_is_let_go(self) -> None:
        self.run_app("katamari.asgi", "asgi_app:app")
        call = self.upload("/sizes", [b"a" * 10])
        self.ask("GET", "/")
        self.manager.send("X", {"id": call, "reason": "client_left"})
        _, end = self.finish()
        self.assertEqual((end.type, end.header["type"]), ("E", "Cancelled"))
        self.assertEqual(self.manager.log(), "")

    def test_a_piece_that_comes_as_its_reader_is_cancelled_is_kept(self) -> None:
        async def read_twice() -> Any:
            body = Cancelling()
            exchange = _Exchange(Request(pack("POST", "/")), body)
            body.reader = asyncio.ensure_future(exchange.receive())
            with self.assertRaises(asyncio.CancelledError):
                await body.reader
            return await exchange.receive()

        self.assertEqual(asyncio.run(read_twice())["body"], b"piece")

    def test_a_long_response_waits_for_its_reader(self) -> None:
        self.run_app("katamari.asgi", "asgi_app:app")
        self.assertEqual(self.ask("GET", "/long")[2], b"x" * 1000000)
        self.assertEqual(self.ask("HEAD", "/long")[2], b"")

    def test_a_cancelled_request_is_let_go(self) -> None:
        self.run_app("katamari.asgi", "asgi_app:app")
        call = self.begin("GET", "/wait")
        self.ask("GET", "/")  # by now it has begun
        self.manager.send("X", {"id": call, "reason": "deadline"})
        _, end = self.finish()
        self.assertEqual((end.type, end.header["id"]), ("E", call))
        self.assertIn("let go", self.manager.log())

    def test_what_the_application_raises_is_an_error(self) -> None:
        self.run_app("katamari.asgi", "asgi_app:app")
        pieces, end = self.error("GET", "/early")
        self.assertEqual((pieces, end.header["type"]), ([], "KeyError"))

    def test_its_lifespan_ends_with_the_worker(self) -> None:
        self.run_app("katamari.asgi", "asgi_app:app")
        self.manager.send("Q", {})
        self.assertEqual(self.manager.exit_status(), 0)
        self.assertIn("shut down", self.manager.log())

    def test_an_application_without_lifespan_is_served(self) -> None:
        self.run_app("katamari.asgi", "asgi_app:bare")
        self.assertEqual(self.ask("GET", "/"), (200, [], b"bare"))

    def test_a_failed_startup_ends_the_worker_before_its_hello(self) -> None:
        self.manager = Manager("run_module.py", "katamari.asgi", "asgi_app:sick")
        self.addCleanup(self.manager.close)
        self.assertEqual(self.manager.exit_status(), 1)
        self.assertIn("no database", self.manager.log())


if __name__ == "__main__":
    unittest.main()
