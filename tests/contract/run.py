"""What a node says of its functions, read by the programs it is for: an OpenAPI validator, protoc,
Thrift's compiler; and the clients it writes, used against the node.

    KATAMARI=target/debug/katamari build/venv/bin/python tests/contract/run.py
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

from openapi_spec_validator import OpenAPIV31SpecValidator

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]
KATAMARI = os.path.abspath(os.environ.get("KATAMARI", "target/debug/katamari"))
HERE = pathlib.Path(__file__).resolve().parent
TSC = REPOSITORY / "chassis/node/node_modules/typescript/bin/tsc"
PATIENCE_S = 30

CONFIGURATION = """
[faceplate.http]
listen = "127.0.0.1:0"

[program.typed]
command = ["python3", "typed.py"]
"""


def run(*command: str, **options) -> str:
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))} ended with {done.returncode}")
    return done.stdout


def until(look):
    end = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        if time.monotonic() > end:
            sys.exit("the node did not come up in time")
        time.sleep(0.02)
    return seen


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz") as response:
            return response.status == 200
    except OSError:
        return False


def check(folder: pathlib.Path, url: str) -> None:
    def katamari(*arguments: str) -> str:
        return run(KATAMARI, *arguments, cwd=folder)

    with urllib.request.urlopen(f"{url}/openapi.json") as response:
        OpenAPIV31SpecValidator(json.load(response)).validate()
    print("the OpenAPI document is valid")

    (folder / "typed.proto").write_text(katamari("idl", "proto"))
    run("protoc", f"-I{folder}", f"--descriptor_set_out={folder}/pb", f"{folder}/typed.proto")
    (folder / "typed.thrift").write_text(katamari("idl", "thrift"))
    languages = ("py", "cpp", "java", "rb", "js")
    generators = [word for language in languages for word in ("--gen", language)]
    run("thrift", "-strict", *generators, "-o", str(folder), f"{folder}/typed.thrift")
    print("protoc and thrift take what is written for them")

    for language, name in ("python", "client.py"), ("ruby", "client.rb"), ("typescript", "client.ts"):
        (folder / name).write_text(katamari("client", language, "typed-kind"))
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    run(sys.executable, str(HERE / "use.py"), url, env=environment)
    run("ruby", "-w", "-I", str(folder), str(HERE / "use.rb"), url)
    use = folder / "use.mts"
    use.write_text((HERE / "use.mts").read_text())
    (folder / "client.mts").write_text((folder / "client.ts").read_text())
    run(
        str(TSC), "--strict", "--target", "es2022", "--module", "nodenext", "--lib",
        "es2022,dom,dom.iterable", "--types", "node", "--typeRoots",
        str(REPOSITORY / "chassis/node/node_modules/@types"), str(use),
    )
    run("node", str(folder / "use.mjs"), url)
    print("the clients in Python, Ruby and TypeScript work")


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        worker = REPOSITORY / "crates/katamari/tests/workers/typed.py"
        (folder / "typed.py").write_text(worker.read_text())
        (folder / "katamari.toml").write_text(CONFIGURATION)
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "chassis/python")}
        environment.pop("KATAMARI_CONTROL", None)
        ready = folder / "ready.json"
        command = [KATAMARI, "up", "--ready-file", str(ready), "--log-level", "error"]
        node = subprocess.Popen(command, cwd=folder, env=environment)
        try:
            until(lambda: ready.exists() or node.poll() is not None)
            url = "http://" + json.loads(ready.read_text())["http"]
            until(lambda: is_ready(url))
            check(folder, url)
        finally:
            node.terminate()
            node.wait()


main()
