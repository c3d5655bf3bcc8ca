"""Workers of 2008 behind a node: one in Erlang, by a port on descriptors 3 and 4; one in C, on Erlang's
library ei; one in Ruby, on Debian's ruby-bert. A line for each of their cases.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/classic/run.py
"""

import functools
import http.client
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import erlastic

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "clients"))

import erlang_client  # noqa: E402: it stands in another folder
import harness  # noqa: E402

ETF = "application/vnd.erlang.etf"
NAME = "classic"
EXTRAS = ["--dict", "two words"]
INCLUDE = "/usr/lib/erlang/usr/include"
LIBRARIES = "/usr/lib/erlang/usr/lib"

VALUES = [
    None, True, False, 0, -1, 255, 256, 2**31, -(2**31) - 1, 2**53 + 1, 2**64, -(10**40),
    1.5, -0.25, 1e-7, 123456.789, "", "plain", "d\u00e9j\u00e0 \u4f60\u597d \U0001f98a",
    "\"quotes\" \\ \n\t\u0001", [], {}, [1, 2, 3], [[], {}, [None, [True]]],
    {"a": {"b": [1, {"c": "d"}], "\u00e9": 2.5}, "": [], "struct": ["array"]},
]


class Pool:
    """A node with one worker, in one of the languages."""

    def __init__(self, node, marks):
        self.node = node
        self.marks = marks

    def post(self, function, body, content_type="application/json", **headers):
        """Status, content type and body of an answer."""
        connection = http.client.HTTPConnection(self.node.address("http"),
                                                timeout=harness.PATIENCE_S)
        try:
            headers = {name.replace("_", "-"): value for name, value in headers.items()}
            headers |= {"content-type": content_type, "katamari-details": '{"roles": ["x"]}'}
            connection.request("POST", f"/call/fake/{function}", body, headers)
            response = connection.getresponse()
            return response.status, response.getheader("content-type"), response.read()
        finally:
            connection.close()

    def call(self, function, arguments, **headers):
        """Status and value of an answer."""
        status, _, body = self.post(function, json.dumps(arguments), **headers)
        return status, json.loads(body)

    def result(self, function, arguments):
        status, value = self.call(function, arguments)
        assert status == 200, value
        return value

    def program(self):
        (program,) = json.loads(self.node.get("/status")[1])["programs"]
        return program

    def pid(self):
        """The number of the worker that takes calls."""
        ready = [worker for worker in self.program()["workers"] if worker["state"] == "ready"]
        return ready[0]["pid"] if ready else None

    def replaced(self, pid):
        return harness.until(lambda: self.pid() not in (None, pid), "another worker")


def interrogation(pool, chassis):
    """is interrogated: kind, versions, tags, roles, functions"""
    (seen,) = json.loads(pool.node.get("/status")[1])["pools"]
    assert (seen["kind"], seen["tags"], seen["roles"]) == ("fake", ["a", "b"], ["x"]), seen
    assert seen["versions"] == {"grammar": "1.2.3", "chassis": chassis}, seen
    assert "sum(a, b, true)" in seen["signatures"], seen


def command_line(pool, _):
    """is told --tags, --roles and, behind --, the extras"""
    words = pool.result("argv", {})
    assert words == ["--tags=a,b", "--roles=x", "--", *EXTRAS], words


def values(pool, _):
    """takes and returns JSON of every kind"""
    for value in VALUES:
        got = pool.result("echo", {"value": value})
        assert json.dumps(got) == json.dumps(value), (got, value)


def parameters(pool, _):
    """takes arguments by name and by position, also one named true"""
    assert pool.result("sum", {"true": 300, "b": 20, "a": 1}) == 321
    assert pool.result("sum", [1, 2, 3]) == 6
    status, problem = pool.call("sum", {"a": 1, "b": 2})
    assert (status, problem["code"]) == (400, "bad_arguments"), problem


def terms(pool, _):
    """takes and returns terms as they are"""
    value = (erlastic.Atom("ok"), [1, 2.5, (b"x", 2**70)], erlastic.Atom("undefined"))
    for arguments in ([value], [(erlastic.Atom("value"), value)]):
        status, kind, body = pool.post("echo", erlastic.encode(arguments), ETF)
        assert (status, kind) == (200, ETF), body
        assert erlastic.decode(body) == value, body
    status, _, body = pool.post("echo", erlastic.encode([]), ETF)
    assert (status, json.loads(body)["code"]) == (400, "bad_arguments"), body


def client(pool, command):
    """Runs a client of another language to its end."""
    environment = {**os.environ, "ERL_EPMD_PORT": str(erlang_client.EPMD_PORT),
                   "COOKIE": erlang_client.COOKIE}
    words = [*command, *pool.node.address("bert").rsplit(":", 1)]
    if command[0] == "escript":
        words.append(f"{NAME}@127.0.0.1")
        harness.until(lambda: erlang_client.EPMD.knows(NAME), "the node is registered")
    done = subprocess.run(words, capture_output=True, text=True, env=environment,
                          timeout=harness.PATIENCE_S)
    assert done.returncode == 0, done.stdout + done.stderr


def erlang_terms(pool, _):
    """takes and returns what Erlang says over BERT-RPC and as a node"""
    client(pool, ["escript", str(HERE / "client.escript")])


def ruby_terms(pool, _):
    """takes and returns what ruby-bert says over BERT-RPC"""
    client(pool, ["ruby", str(HERE / "client.rb")])


def errors(pool, _):
    """raises errors with a backtrace, and lives on"""
    pid = pool.pid()
    status, problem = pool.call("fail", {"message": "on purpose"})
    assert (status, problem["code"], problem["detail"]) == (500, "worker_error", "on purpose")
    assert problem["backtrace"], problem
    assert pool.pid() == pid


def prints(pool, _):
    """prints log lines, which do not break the protocol"""
    pool.result("print", {"text": "printed in a call"})
    for line in "a stray line on stdout", "printed in a call":
        harness.until(lambda: any(line in kept for kept in pool.program()["log"]), line)


def pings(pool, _):
    """answers pings"""
    harness.until((pool.marks / "ping").exists, "a ping")
    pid = pool.pid()
    (pool.marks / "ping").unlink()
    harness.until((pool.marks / "ping").exists, "a ping after the first pong")
    assert pool.pid() == pid


def last_result(pool, _):
    """is replaced after last_result, without a failure"""
    pid = pool.pid()
    assert pool.result("bye", {"value": ["last"]}) == ["last"]
    pool.replaced(pid)
    assert pool.program()["failures"] == 0, pool.program()
    assert pool.result("sum", [1, 1, 1]) == 3


def deadline(pool, _):
    """is killed at the deadline of its call"""
    pid = pool.pid()
    status, problem = pool.call("wait", {"mark": "begun"}, katamari_timeout_ms="2000")
    assert (status, problem["code"]) == (504, "deadline"), problem
    assert (pool.marks / "begun").exists(), "the call has run"
    pool.replaced(pid)
    harness.until(lambda: not pathlib.Path(f"/proc/{pid}").exists(), "its end")
    assert pool.result("sum", [2, 2, 2]) == 6


def lies(pool, _):
    """fails a call whose answer is no JSON, and lives on"""
    pid = pool.pid()
    status, problem = pool.call("lie", {})
    assert (status, problem["code"]) == (500, "worker_error"), problem
    assert "expected a result {raw, Json}" in problem["detail"], problem
    assert pool.result("sum", [3, 3, 3]) == 9
    assert pool.pid() == pid


CASES = [interrogation, command_line, values, parameters, terms, erlang_terms, ruby_terms, errors,
         prints, pings, last_result, deadline, lies]


def configuration(command, marks):
    return f"""
[faceplate.http]
listen = "127.0.0.1:0"

[faceplate.bert]
listen = "127.0.0.1:0"

[faceplate.erlang]
name = "{NAME}@127.0.0.1"
cookie = "{erlang_client.COOKIE}"
epmd = "127.0.0.1:{erlang_client.EPMD_PORT}"

[program.fake]
command = {json.dumps(command)}
dialect = "classic"
tags = ["a", "b"]
roles = ["x"]
extras = {json.dumps(EXTRAS, ensure_ascii=False)}
timeout = "20s"
terminate_timeout = "200ms"
ping_every = "200ms"
ping_timeout = "20s"
env = {{ MARKS = "{marks}" }}
"""


def run(language, command, chassis):
    """Runs all cases. How many failed."""
    failed = 0
    with tempfile.TemporaryDirectory(prefix="katamari-classic-") as folder:
        marks = pathlib.Path(folder)
        with harness.Node(configuration(command, marks)) as node:
            pool = Pool(node, marks)
            for case in CASES:
                bound = functools.partial(case, pool)
                bound.__doc__ = f"{language} {case.__doc__}"
                failed += not harness.passes(bound, chassis)

        def told_to_quit(_):
            assert (marks / "quit").exists()
        told_to_quit.__doc__ = f"{language} is told to quit when the node ends"
        failed += not harness.passes(told_to_quit, None)

        def checked(_):
            words = [harness.KATAMARI, "check", "--dialect", "classic", "--", *command]
            environment = {**os.environ, "MARKS": folder}
            done = subprocess.run(words, capture_output=True, text=True, env=environment,
                                  timeout=harness.PATIENCE_S)
            assert done.returncode == 0, done.stdout + done.stderr
        checked.__doc__ = f"{language} passes katamari check"
        failed += not harness.passes(checked, None)
    return failed


with tempfile.TemporaryDirectory(prefix="katamari-classic-") as folder:
    compiled = f"{folder}/worker"
    subprocess.run(["gcc", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{INCLUDE}", f"-L{LIBRARIES}",
                    str(HERE / "worker.c"), "-o", compiled, "-lei", "-lpthread"], check=True)
    erlang_client.EPMD.start()
    try:
        failed = sum([
            run("Erlang", ["escript", str(HERE / "worker.escript")], "erlang-25.0"),
            run("C", [compiled], "ei"),
            run("Ruby", ["ruby", str(HERE / "worker.rb")], "ruby"),
        ])
    finally:
        erlang_client.EPMD.stop()
sys.exit(1 if failed else 0)
