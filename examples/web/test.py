"""The example, run as it stands, and called over HTTP.

    KATAMARI=target/debug/katamari build/venv/bin/python examples/web/test.py
"""

import hashlib
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BINARY = ROOT / os.environ.get("KATAMARI", "target/debug/katamari")
PATIENCE_S = 60
PICTURE = bytes(range(256)) * 20_000
SIZE = len(PICTURE)
# Both ways to serve the application have a port of their own.
FRONT = """
[faceplate.KIND]
protocol = "http"
listen = "127.0.0.1:0"
only_routes = true
routes = { "/{path*}" = "KIND.http" }
"""


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        (folder / "app.py").symlink_to(HERE / "app.py")
        text = (HERE / "katamari.toml").read_text(encoding="utf-8")
        text = text.replace("../../chassis", str(ROOT / "chassis"))
        # The documented port may be taken here.
        text += '\n[faceplate.http]\nlisten = "127.0.0.1:0"\n'
        text += FRONT.replace("KIND", "shop") + FRONT.replace("KIND", "site")
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
        cls.addresses = json.loads((folder / "ready").read_text(encoding="utf-8"))

    def send(self, front, method, target, body=None, headers=()):
        connection = http.client.HTTPConnection(self.addresses[front], timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        connection.request(method, target, body, dict(headers))
        response = connection.getresponse()
        return response.status, response.getheader("content-type"), response.read()

    def call(self, target, payload):
        headers = {"content-type": "application/json"}
        status, _, body = self.send("http", "POST", f"/call/{target}", payload, headers)
        return status, body

    def ask(self, target, **arguments):
        status, body = self.call(target, json.dumps(arguments))
        self.assertEqual(status, 200, body)
        return json.loads(body)

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
        json_type = {"content-type": "application/json"}
        form_type = {"content-type": "multipart/form-data; boundary=B"}
        part = '--B\r\ncontent-disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        form = (part % ("item", "", "fig") + part % ("text", '; filename="a"', "Good. " * 50000)
                + "--B--\r\n").encode()
        requests = [("GET", "/items"), ("GET", "/items/stone"), ("GET", "/catalogue"),
                    ("POST", "/orders", b'{"item": "fig"}', json_type), ("POST", "/orders"),
                    ("POST", "/reviews", form, form_type)]
        for request in requests:
            with self.subTest(request[:2]):
                answers = [self.send(front, *request) for front in ("shop", "site")]
                (status, sort, body), (own_status, own_sort, own_body) = answers
                self.assertEqual((status, sort), (own_status, own_sort))
                if status < 300 and request[1] != "/orders":
                    self.assertEqual(body, own_body)

    def test_an_upload_reaches_the_application_whole(self):
        expected = hashlib.sha256(PICTURE).hexdigest()
        for front in ("shop", "site"):
            # Its length is known, or it comes in chunks.
            for body in (PICTURE, (PICTURE[at:at + 99_999] for at in range(0, SIZE, 99_999))):
                status, _, answer = self.send(front, "PUT", "/pictures/fig", body)
                self.assertEqual(status, 200, answer)
                self.assertEqual(json.loads(answer)["sha256"], expected)


if __name__ == "__main__":
    unittest.main()
