"""The example, run as it stands, and called over HTTP.

    KATAMARI=target/debug/katamari build/venv/bin/python examples/web/test.py
"""

import http.client
import json
import os
import pathlib
import struct
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BINARY = ROOT / os.environ.get("KATAMARI", "target/debug/katamari")
PATIENCE_S = 60
WHOLE = "application/vnd.katamari.http"


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (folder / "app.py").symlink_to(HERE / "app.py")
        text = (HERE / "katamari.toml").read_text(encoding="utf-8")
        text = text.replace("../../chassis", str(ROOT / "chassis"))
        # The documented port may be taken here.
        text += '\n[faceplate.http]\nlisten = "127.0.0.1:0"\n'
        (folder / "katamari.toml").write_text(text, encoding="utf-8")
        # The commands are those of the Python that runs this.
        path = os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
        node = subprocess.Popen([BINARY, "up", "--ready-file", "ready"], cwd=folder,
                                env={**os.environ, "PATH": path}, stdout=subprocess.DEVNULL)
        cls.addClassCleanup(node.wait, PATIENCE_S)
        cls.addClassCleanup(node.terminate)
        end = time.monotonic() + PATIENCE_S
        while not (folder / "ready").exists():
            assert node.poll() is None and time.monotonic() < end, "katamari up is not ready"
            time.sleep(0.02)
        cls.address = json.loads((folder / "ready").read_text(encoding="utf-8"))["http"]

    def call(self, target, payload, content_type="application/json"):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        connection.request("POST", f"/call/{target}", payload, {"content-type": content_type})
        response = connection.getresponse()
        return response.status, response.read()

    def ask(self, target, **arguments):
        status, body = self.call(target, json.dumps(arguments))
        self.assertEqual(status, 200, body)
        return json.loads(body)

    def whole(self, kind, method, target, body=b"", headers=()):
        """A whole request as a call."""
        head = json.dumps({"method": method, "target": target, "headers": list(headers)})
        packed = struct.pack(">I", len(head)) + head.encode() + body
        status, answer = self.call(f"{kind}/http", packed, WHOLE)
        self.assertEqual(status, 200, answer)
        (length,) = struct.unpack_from(">I", answer)
        head = json.loads(answer[4 : 4 + length])
        return head["status"], dict(head["headers"]), answer[4 + length :]

    def test_a_function_of_a_server_is_a_request(self):
        self.assertEqual(self.ask("shop/price", item="fig"), 45)
        self.assertEqual(self.ask("shop/price", item="fig", count=2), 90)
        self.assertEqual(self.ask("shop/order", item="pear")["item"], "pear")

    def test_what_the_server_does_not_know_is_an_error(self):
        status, body = self.call("shop/price", json.dumps({"item": "stone"}))
        self.assertGreaterEqual(status, 500)
        problem = json.loads(body)
        self.assertEqual(problem["code"], "worker_error")
        self.assertIn("404", problem["detail"])

    def test_a_command_is_a_call(self):
        self.assertEqual(self.ask("words/count", text="three small words"), 3)

    def test_the_application_answers_the_same_with_and_without_a_server(self):
        json_type = [["content-type", "application/json"]]
        requests = [("GET", "/items"), ("GET", "/items/stone"), ("GET", "/catalogue"),
                    ("POST", "/orders", b'{"item": "fig"}', json_type), ("POST", "/orders")]
        for request in requests:
            with self.subTest(request):
                answers = [self.whole(kind, *request) for kind in ("shop", "site")]
                (status, headers, body), (own_status, own_headers, own_body) = answers
                self.assertEqual(status, own_status)
                types = [{name.lower(): value for name, value in h.items()}.get("content-type")
                         for h in (headers, own_headers)]
                self.assertEqual(types[0], types[1])
                if status < 300 and request[0] == "GET":
                    self.assertEqual(body, own_body)


if __name__ == "__main__":
    unittest.main()
