"""Installs the headers, builds a worker with CMake and one with pkg-config, and runs both.

KATAMARI is the binary.
"""

import os
import pathlib
import shutil
import subprocess
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
PROJECT = HERE.parent.parent
KATAMARI = os.path.abspath(os.environ["KATAMARI"])


def run(*command, **options):
    print("$", *command, flush=True)
    subprocess.run([str(word) for word in command], check=True, **options)


def say(*command, **options):
    """What a command says, as words."""
    return subprocess.check_output(command, text=True, **options).split()


def by_cmake(prefix, source, folder):
    build = folder / "build"
    run("cmake", "-S", HERE, "-B", build, f"-DCMAKE_PREFIX_PATH={prefix}", f"-DWORKER={source}")
    run("cmake", "--build", build)
    return build / "worker"


def by_pkg_config(prefix, source, folder):
    environment = {**os.environ, "PKG_CONFIG_PATH": str(prefix / "share/pkgconfig")}
    flags = say("pkg-config", "--cflags", "--libs", "katamari", env=environment)
    (version,) = say("pkg-config", "--modversion", "katamari", env=environment)
    assert version == say("make", "--silent", "-C", str(PROJECT), "version")[0], version
    worker = folder / "by_pkg_config"
    run("g++", "-std=c++17", source, *flags, "-o", worker)
    return worker


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        # Far from the tree, so that only what is installed can be found.
        for file in ("conformance.cpp", "sha256.hpp"):
            shutil.copy(PROJECT / "tests" / file, folder)
        prefix, source = folder / "prefix", folder / "conformance.cpp"
        run("make", "--silent", "-C", PROJECT, "install", f"PREFIX={prefix}")
        for way in (by_cmake, by_pkg_config):
            run(KATAMARI, "check", "--", way(prefix, source, folder))
        # A package for distribution is made elsewhere than where it will be.
        staged = folder / "staged"
        run("make", "--silent", "-C", PROJECT, "install", f"DESTDIR={staged}", "PREFIX=/opt/k")
        files = {str(path.relative_to(staged)) for path in staged.rglob("*") if path.is_file()}
        assert "opt/k/include/katamari/worker.hpp" in files, files
        assert "opt/k/share/doc/katamari/LICENSE-MIT" in files, files
        assert "prefix=/opt/k\n" in (staged / "opt/k/share/pkgconfig/katamari.pc").read_text()


if __name__ == "__main__":
    main()
