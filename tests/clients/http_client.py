"""HTTP with curl and with requests of PyPI.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/http_client.py
"""

import json
import pathlib
import subprocess
import sys

import harness
import requests

HERE = pathlib.Path(__file__).resolve().parent
FACEPLATES = {"http": {
    "routes": {"/site/{path*}": "site.http", "GET /again/{text}": "conform.echo",
               "POST /again": "conform.echo"},
    "folders": {"/static": str(HERE)},
}}
# A web application as the one program behind a route.
MORE = f"""
[program.site]
command = ["{sys.executable}", "-m", "katamari.wsgi", "app:app", "--kind", "site"]
folder = "{HERE}/site"
env = {{ PYTHONPATH = "{harness.CHASSIS}" }}
dialect = "json"
"""


class Http(harness.Client):
    """What clients of HTTP share."""

    protocol = "HTTP"
    column = "HTTP"

    def url(self, path):
        scheme = "https" if self.door == "-tls" else "http"
        return f"{scheme}://{self.node.address('http' + self.door)}{path}"

    def headers(self, timeout_ms=None):
        headers = {"content-type": "application/json"}
        if self.token:
            headers["authorization"] = f"Bearer {self.token}"
        if timeout_ms:
            headers["katamari-timeout-ms"] = str(timeout_ms)
        return headers

    @property
    def authority(self):
        return str(self.node.mark("authority.pem"))

    def call(self, kind, function, arguments, timeout_ms=None):
        status, body = self.post(f"/call/{kind}/{function}", arguments, timeout_ms)
        answer = json.loads(body)
        if status != 200:
            raise harness.Refused(status, answer["code"])
        return answer


def pieces(lines):
    """The data of server-sent events, until the one that ends them."""
    came, event = [], "message"
    for line in lines:
        field, _, value = line.partition(": ")
        if field == "event":
            event = value
        elif field == "data" and event == "message":
            came.append(json.loads(value))
    assert event == "end", event
    return came


class Curl(Http):
    name = "curl"
    needs = ("curl",)

    def command(self, path, arguments, timeout_ms=None):
        headers = [word for name, value in self.headers(timeout_ms).items()
                   for word in ("-H", f"{name}: {value}")]
        trust = ["--cacert", self.authority] if self.door == "-tls" else []
        return ["curl", "-sSN", *trust, *headers, "-w", "\n%{http_code}",
                "--data", json.dumps(arguments), self.url(path)]

    def post(self, path, arguments, timeout_ms=None):
        done = subprocess.run(self.command(path, arguments, timeout_ms), check=True,
                              stdout=subprocess.PIPE, text=True, timeout=harness.PATIENCE_S)
        body, _, status = done.stdout.rpartition("\n")
        return int(status), body

    def stream(self, kind, function, arguments):
        return pieces(self.post(f"/call/{kind}/{function}", arguments)[1].splitlines())

    def begin(self, kind, function, arguments):
        curl = subprocess.Popen(self.command(f"/call/{kind}/{function}", arguments))

        def leave():
            curl.kill()
            curl.wait()
        return leave


class Requests(Http):
    name = "requests"

    def post(self, path, arguments, timeout_ms=None):
        response = requests.post(self.url(path), json.dumps(arguments), verify=self.authority,
                                 headers=self.headers(timeout_ms), timeout=harness.PATIENCE_S)
        return response.status_code, response.content

    def stream(self, kind, function, arguments):
        path = self.url(f"/call/{kind}/{function}")
        with requests.post(path, json=arguments, stream=True, timeout=harness.PATIENCE_S) as response:
            response.encoding = "utf-8"
            return pieces(response.iter_lines(decode_unicode=True))

    def begin(self, kind, function, arguments):
        # It can give up an answer that has begun; else it has a timeout only.
        response = requests.post(self.url(f"/call/{kind}/trickle"), json=arguments, stream=True,
                                 timeout=harness.PATIENCE_S)
        return response.close


def routes(node):
    """Paths to functions, with queries and forms."""
    url = f"http://{node.address('http')}"
    assert requests.get(f"{url}/again/d\u00e9j\u00e0", params={"times": 2}).json() == "d\u00e9j\u00e0" * 2
    assert requests.post(f"{url}/again", data={"text": "a b", "times": 3}).json() == "a b" * 3
    assert requests.post(f"{url}/again", files={"text": b"a"}).status_code == 415


def wishes(node):
    """What shapes a call and what comes with its answer."""
    url = f"http://{node.address('http')}/call/conform/echo"
    answer = requests.post(url, json=["x"], headers={"katamari-class": "low", "katamari-key": "k"})
    assert answer.json() == "x" and len(answer.headers["katamari-id"]) == 16, answer.headers
    assert answer.headers["server-timing"].startswith("queue;dur="), answer.headers
    cast = requests.post(url, json=["x"], headers={"katamari-cast": "true"})
    assert cast.status_code == 202 and len(cast.json()["id"]) == 16, cast.text
    assert requests.post(url, json=["x"], headers={"katamari-tiemout-ms": "5"}).status_code == 400


def files(node):
    """Files, whole, in ranges, and not again."""
    url = f"http://{node.address('http')}/static/http_client.py"
    text = pathlib.Path(__file__).read_bytes()
    answer = requests.get(url)
    assert answer.content == text and answer.headers["content-type"].startswith("text/"), answer.headers
    part = requests.get(url, headers={"range": "bytes=3-7"})
    assert (part.status_code, part.content) == (206, text[3:8]), part.headers
    known = {"if-none-match": answer.headers["etag"]} if "etag" in answer.headers else {
        "if-modified-since": answer.headers["last-modified"]}
    assert requests.get(url, headers=known).status_code == 304
    assert requests.head(url).headers["content-length"] == str(len(text))


def application(node):
    """Whole requests to a web application: uploads, cookies, redirects, streams."""
    url = f"http://{node.address('http')}/site"
    upload = {"file": ("n\u00e4me.bin", bytes(range(256)) * 1000, "application/octet-stream")}
    answer = requests.post(f"{url}/upload", data={"note": "n"}, files=upload).json()
    assert answer == {"name": "n\u00e4me.bin", "size": 256_000, "note": "n"}, answer
    session = requests.Session()
    assert session.get(f"{url}/visits").text == "1"
    assert session.get(f"{url}/visits").text == "2"
    assert session.cookies["visits"] == "2", session.cookies
    moved = session.get(f"{url}/moved")
    assert [old.status_code for old in moved.history] == [303] and moved.text == "3", moved.history
    lines = requests.get(f"{url}/lines", stream=True)
    assert list(lines.iter_lines()) == [b"1", b"2", b"3"]
    assert requests.delete(f"{url}/lines").status_code == 405
    assert requests.get(f"{url}/nothing").status_code == 404


def form(node):
    """A form with a file, a jar of cookies and a redirect, as curl sends them."""
    url = f"http://{node.address('http')}/site"
    jar = node.mark("jar")

    def curl(*options):
        return subprocess.run(["curl", "-sSfL", "-b", jar, "-c", jar, *options], check=True,
                              stdout=subprocess.PIPE, text=True, timeout=harness.PATIENCE_S).stdout
    file = node.mark("upload.txt")
    file.write_text("twelve bytes", encoding="ascii")
    answer = json.loads(curl("-F", f"file=@{file}", "-F", "note=n", f"{url}/upload"))
    assert answer == {"name": "upload.txt", "size": 12, "note": "n"}, answer
    assert [curl(f"{url}/visits"), curl(f"{url}/moved")] == ["1", "2"]
    # Longer than what curl sends before it has asked, with expect: 100-continue.
    file.write_bytes(b"x" * 3_000_000)
    answer = json.loads(curl("-F", f"file=@{file}", "-F", "note=n", "-H", "expect: 100-continue",
                             f"{url}/upload"))
    assert answer["size"] == 3_000_000, answer
    assert curl("--data-urlencode", "text=a b", f"http://{node.address('http')}/again") == '"a b"'


Curl.more = (form,)
Requests.more = (routes, wishes, files, application)
CLIENTS = (Curl, Requests)

if __name__ == "__main__":
    harness.main(sys.modules[__name__])
