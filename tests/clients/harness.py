"""What the tests of third-party clients share: a node, the cases that every client is put through, and
the table that says how each went.

A module *_client.py has FACEPLATES, what its protocol needs of the node, and CLIENTS, a `Client` for
each of its clients. run.py runs them all; a module by itself is run with

    KATAMARI=target/debug/katamari build/venv/bin/python tests/clients/http_client.py

Codes that a client is to see are those of docs/errors.md, read from there.
"""

import contextlib
import functools
import hashlib
import http.client
import itertools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
CHASSIS = HERE.parents[1] / "chassis/python"
KATAMARI = os.path.abspath(os.environ.get("KATAMARI", "target/debug/katamari"))
PATIENCE_S = 60
SECRET = "a secret that opens this test alone"


def until(look, what):
    """Waits until something is seen, and gives it back."""
    end = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {PATIENCE_S} s")
        time.sleep(0.01)
    return seen


class Node:
    """A node of its own, which ends with the block. Its configuration is a text, or what makes one
    for a folder."""

    def __init__(self, configuration):
        self.folder = tempfile.TemporaryDirectory(prefix="katamari-clients-")
        self.root = pathlib.Path(self.folder.name)
        text = configuration(self.root) if callable(configuration) else configuration
        (self.root / "katamari.toml").write_text(text, encoding="utf-8")

    def __enter__(self):
        command = [KATAMARI, "up", "--ready-file", "ready", "--log-level", "error"]
        environment = {**os.environ, "PYTHONPATH": str(CHASSIS)}
        environment.pop("KATAMARI_CONTROL", None)
        self.process = subprocess.Popen(command, cwd=self.root, env=environment,
                                        stdout=subprocess.DEVNULL)
        try:
            ready = self.root / "ready"
            until(lambda: ready.exists() or self.process.poll() is not None, "katamari up")
            self.ready = json.loads(ready.read_text(encoding="utf-8"))
            until(self.is_ready, "the worker")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(PATIENCE_S)
        finally:
            self.process.kill()
            self.process.wait()
            self.folder.cleanup()

    def get(self, path):
        """Status and body of an answer over HTTP."""
        connection = http.client.HTTPConnection(self.address("http"), timeout=PATIENCE_S)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def post(self, path, arguments):
        """The answer to a call over HTTP."""
        connection = http.client.HTTPConnection(self.address("http"), timeout=PATIENCE_S)
        try:
            connection.request("POST", path, json.dumps(arguments),
                               {"content-type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    @contextlib.contextmanager
    def held(self):
        """While it lasts the one worker of kind `full` is busy."""
        mark = f"mark-{next(MARKS)}"
        connection = http.client.HTTPConnection(self.address("http"), timeout=PATIENCE_S)
        connection.request("POST", "/call/full/wait", json.dumps({"mark": mark}),
                           {"content-type": "application/json"})
        until(self.mark(f"{mark}.begun").exists, "the worker is held")
        yield
        connection.close()
        until(self.mark(mark).exists, "the worker is let go")

    def is_ready(self):
        return self.get("/readyz")[0] == 200

    def running(self):
        """How many calls run."""
        return sum(pool["running"] for pool in json.loads(self.get("/status")[1])["pools"])

    def address(self, faceplate):
        """Where a faceplate listens."""
        return self.ready[faceplate]

    def mark(self, name):
        """A file that functions of the worker write."""
        return self.root / name


REPOSITORY = HERE.parents[1]
STREAMED = 5
MARKS = itertools.count()


class Refused(Exception):
    """A call was answered with an error: the protocol's own code for it, as text, and if the protocol
    tells it beside that, the code of docs/errors.md."""

    def __init__(self, code, word=None):
        super().__init__(f"{code} {word or ''}".rstrip())
        self.code, self.word = str(code), word


class Client:
    """One client of one protocol. A subclass says how it makes a call; the cases are the same for all.

    `door` is "" where all may call, "-token" where a token is needed, "-tls" behind TLS.
    """

    name = protocol = ""
    column = None  # of docs/errors.md; without one, codes are the words of its first column
    stranger = None  # the code without a token, if it is not the column's
    needs = ()  # commands, or files
    text = "d\u00e9j\u00e0 "
    wishes = True  # whether it can say what shapes a call
    none = {}  # why the protocol or this client has no such case
    more = ()  # further cases, which get the node

    def __init__(self, node, door="", token=None):
        self.node, self.door, self.token = node, door, token

    def call(self, kind, function, arguments, timeout_ms=None):
        """The result of a call, or `Refused`."""
        raise NotImplementedError

    def stream(self, kind, function, arguments):
        """The pieces of a streamed answer."""
        return self.call(kind, function, arguments)

    def begin(self, kind, function, arguments):
        """Begins a call that has no end, and gives back what gives it up: a process that ends."""
        child = os.fork()
        if child == 0:
            with contextlib.suppress(BaseException):
                self.call(kind, function, arguments)
            os._exit(1)

        def end():
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
        return end

    # The last part of each name is what it was refused with.
    def refused_error(self):
        self.call("conform", "fail", {"message": self.text})

    def refused_no_pool(self):
        self.call("nobody", "echo", {"text": "x"})

    def refused_no_function(self):
        self.call("conform", "nothing", {"text": "x"})

    def refused_bad_arguments(self):
        self.call("conform", "echo", {})

    def refused_deadline(self):
        # If it cannot say so, the program has its timeout.
        kind, wish = ("conform", {"timeout_ms": 200}) if self.wishes else ("brief", {})
        self.call(kind, "sleep", {"ms": 60_000}, **wish)

    def refused_busy(self):
        with self.node.held():
            self.call("full", "echo", {"text": "x"})

    def refused_worker_died(self):
        # A worker that has answered may die without its successor being held back.
        self.node.post("/call/mortal/echo", {"text": "x"})
        self.call("mortal", "die", {})

    def refused_not_allowed(self):
        assert type(self)(self.node, "-token", SECRET).says_again()
        try:
            type(self)(self.node, "-token").says_again()
        except Refused as refused:
            expect(refused, "not_allowed", stranger(self))
        else:
            raise AssertionError("expected an error without a token")
        type(self)(self.node, "-token", SECRET).call("full", "echo", {"text": "x"})

    def says_again(self):
        came = self.call("conform", "echo", {"text": self.text, "times": 2})
        assert came == self.text * 2, came
        return True

    def streams(self):
        came = self.stream("conform", "count", {"to": STREAMED})
        assert came == list(range(1, STREAMED + 1)), came

    def gives_up(self):
        mark = f"mark-{next(MARKS)}"
        give_up = self.begin("conform", "wait", {"mark": mark})
        until(self.node.mark(f"{mark}.begun").exists, "the call runs")
        give_up()
        until(self.node.mark(mark).exists, "the worker is told")

    def over_tls(self):
        assert type(self)(self.node, "-tls").says_again()

    def tries_more(self):
        for case in self.more:
            case(self.node)


def passed_on(command, said):
    """Has a command that passes bytes on say something, and gives back what ends it."""
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    process.stdin.write(said.encode())
    process.stdin.flush()

    def end():
        process.kill()
        process.communicate()
    return end


class Command(Client):
    """A client that is a command, in another language or of its own. It gets the address, the token,
    the authority's certificate (each "" if there is none), the kind, the function, and the arguments and
    the timeout as JSON; it prints {"result": ...} or {"error": CODE, "word": WORD} as JSON. Of the
    further cases it gets those that are names, behind `more` and the address, and ends with 0 if all is
    well."""

    command = ()
    faceplate = ""

    def started(self, kind, function, arguments, timeout_ms=None):
        authority = str(self.node.mark("authority.pem")) if self.door == "-tls" else ""
        words = [*self.command, self.address(), self.token or "", authority, kind, function,
                 self.written(arguments), json.dumps(timeout_ms)]
        return subprocess.Popen([str(word) for word in words], cwd=self.node.root, text=True,
                                env={**os.environ, **self.environment()}, stdout=subprocess.PIPE)

    def address(self):
        return self.node.address(self.faceplate + self.door)

    def environment(self):
        return {}

    def written(self, arguments):
        return json.dumps(arguments)

    def call(self, kind, function, arguments, timeout_ms=None):
        with self.started(kind, function, arguments, timeout_ms) as process:
            try:
                printed = process.communicate(timeout=PATIENCE_S)[0]
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.returncode == 0, f"{self.name} ended with {process.returncode}"
        answer = json.loads(printed)
        if "error" in answer:
            raise Refused(answer["error"], answer.get("word"))
        return answer["result"]

    def tries_more(self):
        names = [case for case in self.more if isinstance(case, str)]
        for case in self.more:
            if case not in names:
                case(self.node)
        command = [*self.command, "more", self.address(), *names]
        subprocess.run([str(word) for word in command], cwd=self.node.root, check=True,
                       env={**os.environ, **self.environment()}, timeout=2 * PATIENCE_S)

    def begin(self, kind, function, arguments):
        process = self.started(kind, function, arguments)

        def end():
            process.kill()
            process.communicate()
        return end


REFUSALS = ("error", "deadline", "no_pool", "no_function", "bad_arguments", "busy", "worker_died",
            "not_allowed")
CASES = {"call": Client.says_again, "stream": Client.streams, "cancel": Client.gives_up,
         **{word: None for word in REFUSALS}, "tls": Client.over_tls, "more": Client.tries_more}


@functools.cache
def codes(column):
    """What docs/errors.md has in a column, by the words of its first."""
    lines = (REPOSITORY / "docs/errors.md").read_text(encoding="utf-8").splitlines()
    head, _, *rows = [[cell.strip() for cell in line.strip("|").split("|")]
                      for line in lines if line.startswith("|")]
    return {row[0].strip("`"): row[head.index(column)] for row in rows}


def documented(client, word):
    """The code that a client is to see; the first that the cell has."""
    word = "worker_error" if word == "error" else word
    cell = codes(client.column)[word] if client.column else f"`{word}`"
    found = re.match(r"-?\d+|(protocol|server|user|proxy) \d+", cell)
    return word, found[0] if found else word


def stranger(client):
    """The code that a client without a token is to see."""
    word, code = documented(client, "not_allowed")
    found = re.search(r"without a good token (\d+)", codes(client.column)[word] if client.column else "")
    return client.stranger or (found[1] if found else code)


def expect(refused, word, code):
    if refused.code != code or refused.word not in (None, word):
        raise AssertionError(f"expected {code} ({word}), got {refused}") from refused


def try_case(client, case):
    """Raises if it is not as it should be."""
    if case not in REFUSALS:
        return getattr(client, CASES[case].__name__)()
    try:
        getattr(client, f"refused_{case}")()
    except Refused as refused:
        return expect(refused, *documented(client, case))
    raise AssertionError("expected an error")


class Table:
    """How each case of each client went."""

    def __init__(self):
        self.rows, self.notes, self.fine = [], [], True

    def note(self, text):
        if text not in self.notes:
            self.notes.append(text)
        return self.notes.index(text) + 1

    def missing(self, name, protocol, what):
        said = f"not there: needs {what}"
        self.rows.append([name, protocol] + ["not there"] * len(CASES))
        self.note(f"{name}: {said}")
        self.fine &= os.environ.get("CI") != "true"
        print(f"{protocol}, {name}: {said}", flush=True)

    def run(self, module):
        """Puts a module's clients through all cases."""
        prepared = getattr(module, "prepared", contextlib.nullcontext)
        configuration = conform(module.FACEPLATES, getattr(module, "MORE", ""))
        with Node(configuration) as node, prepared(node):
            for kind in module.CLIENTS:
                lacks = [need for need in kind.needs if not is_there(need)]
                if lacks:
                    self.missing(kind.name, kind.protocol, " ".join(lacks))
                else:
                    self.client(kind, node)

    def client(self, kind, node):
        row, begun = [kind.name, kind.protocol], time.monotonic()
        for case in CASES:
            if case in kind.none:
                row.append(f"none [{self.note(kind.none[case])}]")
            elif case == "more" and not kind.more:
                row.append("")
            else:
                row.append(self.case(kind, node, case))
        self.rows.append(row)
        failed = [case for case, cell in zip(CASES, row[2:]) if cell == "FAILED"]
        print(f"{kind.protocol}, {kind.name}: {'FAILED ' + ' '.join(failed) if failed else 'passed'} "
              f"in {time.monotonic() - begun:.1f} s", flush=True)

    def case(self, kind, node, case):
        try:
            try_case(kind(node), case)
        except Exception as error:
            traceback.print_exc(file=sys.stdout)
            self.note(f"{kind.name}, {kind.protocol}, {case} FAILED: "
                      f"{' '.join(str(error).split()) or type(error).__name__}")
            self.fine = False
            return "FAILED"
        return f"{len(kind.more)} passed" if case == "more" else "passed"

    def end(self):
        """Prints the table, and gives back 0 if all is well."""
        print(f"\n{self.text()}", flush=True)
        return 0 if self.fine else 1

    def text(self):
        """As Markdown, which is a table to the eye as well."""
        rows = [["client", "protocol", *(case.replace("_", " ") for case in CASES)], *self.rows]
        widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
        rows.insert(1, ["-" * width for width in widths])
        lines = ["| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows]
        notes = [f"{number}. {note}" for number, note in enumerate(self.notes, 1)]
        return "\n".join([*lines, "", *notes]) + "\n"


def is_there(need):
    return os.path.exists(need) if need.startswith("/") else shutil.which(need)


DOORS = {"": 'access = "open"', "-token": 'access = "token"',
         "-tls": 'access = "open"\ntls = { certificate = "server.pem", key = "server.key" }'}


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {toml(of)}" for key, of in value.items()) + " }"
    return json.dumps(value)


def conform(faceplates, more=""):
    """A configuration of worker.py behind these faceplates, each with its three doors."""
    def text(root):
        certify(root)
        lines = []
        for name, of in {"http": {}, **faceplates}.items():
            for door, access in DOORS.items():
                keys = of(root, door) if callable(of) else of
                lines += [f"[faceplate.{name}{door}]", 'listen = "127.0.0.1:0"', access]
                lines += [f"{key} = {toml(value)}"
                          for key, value in {"protocol": name, **keys}.items()]
        digest = hashlib.sha256(SECRET.encode()).hexdigest()
        lines += ["[access.token.test]", f'hash = "sha256:{digest}"', 'kinds = ["conform"]']
        programs = {"conform": ("10m", 2, 100), "full": ("10m", 1, 0), "mortal": ("10m", 1, 100),
                    "brief": ("200ms", 1, 100)}
        for kind, (timeout, workers, queue_max) in programs.items():
            command = json.dumps([sys.executable, str(HERE / "worker.py"), kind])
            lines += [f"[program.{kind}]", f"command = {command}", 'dialect = "json"',
                      f"workers = {workers}", f'timeout = "{timeout}"', f"queue_max = {queue_max}",
                      f'env = {{ PYTHONPATH = "{CHASSIS}", MARKS = "{root}" }}']
        return "\n".join(lines) + "\n" + more
    return text


def certify(root):
    """A certificate for 127.0.0.1, and the authority that vouches for it."""
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    for options in (["-keyout", "authority.key", "-out", "authority.pem", "-subj", "/CN=authority"],
                    ["-keyout", "server.key", "-out", "server.pem", "-subj", "/CN=127.0.0.1",
                     "-CA", "authority.pem", "-CAkey", "authority.key",
                     "-addext", "basicConstraints=critical,CA:FALSE",
                     "-addext", "subjectAltName=IP:127.0.0.1,DNS:127.0.0.1"]):
        subprocess.run([*make, *options], cwd=root, check=True, stderr=subprocess.DEVNULL)


def main(*modules):
    """Runs modules, prints their table, and ends the process with 1 if anything failed."""
    table = Table()
    for module in modules:
        table.run(module)
    sys.exit(table.end())


def passes(case, node):
    """Whether a case of other tests passes; prints a line for it."""
    title = (case.__doc__ or case.__name__.replace("_", " ")).splitlines()[0].rstrip(".")
    begun = time.monotonic()
    try:
        case(node)
    except Exception:
        print(f"{title:<60} FAILED")
        traceback.print_exc(file=sys.stdout)
        return False
    print(f"{title:<60} passed in {(time.monotonic() - begun) * 1000:5.0f} ms", flush=True)
    return True


def erlang_term(value):
    """A value as Erlang writes it, in ASCII."""
    if isinstance(value, str):
        text = "".join(c if c.isalnum() and c.isascii() or c in " -" else f"\\x{{{ord(c):x}}}"
                       for c in value)
        return f'<<"{text}"/utf8>>'
    if isinstance(value, list):
        return "[" + ",".join(map(erlang_term, value)) + "]"
    if isinstance(value, dict):
        pairs = (f"{{{name},{erlang_term(of)}}}" for name, of in value.items())
        return "[" + ",".join(pairs) + "]"
    return str(value)


def socat(node, door, address):
    """The command that talks to an address behind a door of a node."""
    if door == "-tls":
        way = f"OPENSSL:{address},cafile={node.mark('authority.pem')}"
    else:
        way = f"TCP:{address}"
    # Half closed, it waits so long for what is still to come.
    return ["socat", "-t", str(PATIENCE_S), "-", way]
