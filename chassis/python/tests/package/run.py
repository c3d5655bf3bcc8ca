"""Builds the package as for PyPI, and runs a worker from what was built.

KATAMARI is the binary. This Python needs what requirements.txt lists.
"""

import email.parser
import os
import pathlib
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import venv
import zipfile

TESTS = pathlib.Path(__file__).resolve().parent.parent
PROJECT = TESTS.parent
KATAMARI = os.path.abspath(os.environ["KATAMARI"])


def run(*command, folder):
    print("$", *command, flush=True)
    subprocess.run([str(word) for word in command], cwd=folder, check=True)


def expect(what, expected, got):
    assert got == expected, f"{what}: expected {expected!r}, got {got!r}"


def build(folder):
    """The source distribution, and the wheel that is built from it."""
    # Of a copy: what setuptools leaves behind must not pass for the package's own.
    source = folder / "source"
    ignored = shutil.ignore_patterns("build", "dist", "*.egg-info", "__pycache__")
    shutil.copytree(PROJECT, source, ignore=ignored)
    made = folder / "made"
    run(
        sys.executable, "-m", "build", "--no-isolation", "--outdir", made, folder=source
    )
    (wheel,) = made.glob("*.whl")
    (archive,) = made.glob("*.tar.gz")
    run(
        sys.executable,
        "-m",
        "twine",
        "check",
        "--strict",
        wheel,
        archive,
        folder=folder,
    )
    return wheel, archive


def inspect(wheel, archive):
    """What those who install it are told and given."""
    described = tomllib.loads((PROJECT / "pyproject.toml").read_text())["project"]
    modules = {f"katamari/{path.name}" for path in PROJECT.glob("katamari/*.py")}
    with zipfile.ZipFile(wheel) as packed:
        names = packed.namelist()
        (metadata,) = [name for name in names if name.endswith(".dist-info/METADATA")]
        said = email.parser.BytesParser().parsebytes(packed.read(metadata))
    inside = {name for name in names if name.startswith("katamari/")}
    expect("files of the wheel", modules | {"katamari/py.typed"}, inside)
    expect("name", described["name"], said["Name"])
    expect("version", described["version"], said["Version"])
    expect("licence", "MIT OR Apache-2.0", said["License-Expression"])
    expect("Python", ">=3.9", said["Requires-Python"])
    expect("dependencies", None, said["Requires-Dist"])
    assert said.get_payload().startswith("# The Python chassis"), "it has no readme"
    for licence in ("LICENSE-MIT", "LICENSE-APACHE"):
        found = any(name.endswith(f"/licenses/{licence}") for name in names)
        assert found, f"the wheel lacks {licence}"
    with tarfile.open(archive) as packed:
        inside = {name.partition("/")[2] for name in packed.getnames()}
    assert {"README.md", "LICENSE-MIT", "katamari/py.typed"} <= inside, inside


def try_out(wheel, folder):
    """The conformance workers, far from the tree, on the installed package."""
    home = folder / "venv"
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-index", wheel, folder=folder)
    where = subprocess.check_output(
        [python, "-c", "import katamari; print(katamari.__file__)"],
        cwd=folder,
        text=True,
    )
    assert where.startswith(str(home)), f"expected it in {home}, got {where}"
    for runner in ("katamari.wsgi", "katamari.asgi"):
        run(python, "-m", runner, "--help", folder=folder)
    for worker in ("conformance.py", "conformance_async.py"):
        # Two folders deep, where the script looks for a package and finds none.
        place = folder / "far" / "away"
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(TESTS / worker, place)
        run(KATAMARI, "check", "--", python, place / worker, folder=folder)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        wheel, archive = build(folder)
        inspect(wheel, archive)
        try_out(wheel, folder)


if __name__ == "__main__":
    main()
