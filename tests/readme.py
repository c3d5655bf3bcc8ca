"""The README's example, run as it stands there: its files are written, its commands typed, and what
they print compared. `...` in the README stands for anything.

    KATAMARI=target/debug/katamari python3 tests/readme.py
"""

import json
import os
import pathlib
import re
import subprocess
import tempfile
import time
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BINARY = ROOT / os.environ.get("KATAMARI", "target/debug/katamari")
DOCUMENTED_ADDRESS = "127.0.0.1:7480"
PATIENCE_S = 30


def block(language):
    """The first code block of a language."""
    return re.search(rf"^```{language}\n(.*?)^```", README, re.M | re.S)[1]


def commands():
    """Every command of the console blocks, with what the README says that it prints."""
    for console in re.findall(r"^```console\n(.*?)^```", README, re.M | re.S):
        for typed in re.split(r"^\$ ", console, flags=re.M)[1:]:
            command, _, printed = typed.partition("\n")
            yield command, printed


class ReadmeTest(unittest.TestCase):
    def setUp(self):
        self.checkout = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
        (self.checkout / "chassis").symlink_to(ROOT / "chassis")
        (self.checkout / "target/release").mkdir(parents=True)
        (self.checkout / "target/release/katamari").symlink_to(BINARY)
        self.folder = self.checkout / "greet"
        self.folder.mkdir()
        (self.folder / "greet.py").write_text(block("python"), encoding="utf-8")
        # The documented port may be taken here.
        listen = '\n[faceplate.http]\nlisten = "127.0.0.1:0"\n'
        (self.folder / "katamari.toml").write_text(block("toml") + listen, encoding="utf-8")

    def up(self, command):
        """Starts the node and gives back where it listens."""
        node = subprocess.Popen([*command.split(), "--ready-file", "ready"], cwd=self.folder,
                                stdout=subprocess.PIPE, text=True)
        self.addCleanup(node.stdout.close)
        self.addCleanup(node.wait, PATIENCE_S)
        self.addCleanup(node.terminate)
        end = time.monotonic() + PATIENCE_S
        ready = self.folder / "ready"
        while not ready.exists():
            self.assertIsNone(node.poll(), "katamari up has ended")
            self.assertLess(time.monotonic(), end, "katamari up is not ready")
            time.sleep(0.02)
        address = json.loads(ready.read_text(encoding="utf-8"))["http"]
        return address, node.stdout.readline() + node.stdout.readline()

    def assert_printed(self, expected, printed):
        pattern = ".*".join(map(re.escape, expected.strip().split("...")))
        self.assertRegex(printed.strip(), f"^{pattern}$")

    def test_the_example(self):
        typed = list(commands())
        (first, banner), calls = typed[0], typed[1:]
        self.assertGreaterEqual(len(calls), 3, "the README has lost its commands")
        address, printed = self.up(first)
        banner = banner.replace(DOCUMENTED_ADDRESS, address)
        self.assert_printed(re.sub(r"pid \d+", "pid ...", banner), printed)
        for command, expected in calls:
            with self.subTest(command):
                command = command.replace(DOCUMENTED_ADDRESS, address).replace("curl", "curl -sS")
                done = subprocess.run(command, shell=True, cwd=self.folder, check=True,
                                      stdout=subprocess.PIPE, text=True, timeout=PATIENCE_S)
                self.assert_printed(expected, done.stdout)


if __name__ == "__main__":
    unittest.main()
