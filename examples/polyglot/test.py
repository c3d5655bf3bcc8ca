"""The example, run as it stands, and called over HTTP.

    cargo build --package tally
    KATAMARI=target/debug/katamari python3 examples/polyglot/test.py
"""

import http.client
import json
import os
import pathlib
import re
import shutil
import subprocess
import tempfile
import time
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
BINARY = ROOT / os.environ.get("KATAMARI", "target/debug/katamari")
PATIENCE_S = 60
OCTETS = "application/octet-stream"


class Example(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        folder = pathlib.Path(cls.enterClassContext(tempfile.TemporaryDirectory()))
        for file in ("say.mjs", "report.rb", "package.json"):
            shutil.copy(HERE / file, folder)
        # As `npm install` does it.
        (folder / "node_modules").mkdir()
        (folder / "node_modules" / "katamari").symlink_to(ROOT / "chassis" / "node")
        text = (HERE / "katamari.toml").read_text(encoding="utf-8")
        text = text.replace("../../target/release", str(BINARY.parent))
        text = text.replace("../../chassis", str(ROOT / "chassis"))
        # The documented port may be taken here.
        text = text.replace(":7480\"", ":0\"")
        (folder / "katamari.toml").write_text(text, encoding="utf-8")
        node = subprocess.Popen([BINARY, "up", "--ready-file", "ready"], cwd=folder,
                                stdout=subprocess.DEVNULL)
        cls.addClassCleanup(node.wait, PATIENCE_S)
        cls.addClassCleanup(node.terminate)
        end = time.monotonic() + PATIENCE_S
        while not (folder / "ready").exists():
            assert node.poll() is None and time.monotonic() < end, "katamari up is not ready"
            time.sleep(0.02)
        cls.address = json.loads((folder / "ready").read_text(encoding="utf-8"))["http"]

    def post(self, target, body, content_type):
        connection = http.client.HTTPConnection(self.address, timeout=PATIENCE_S)
        self.addCleanup(connection.close)
        # A body of pieces goes out in chunks.
        connection.request("POST", f"/call/{target}", body, {"content-type": content_type})
        response = connection.getresponse()
        answer = response.read()
        self.assertEqual(response.status, 200, answer)
        return answer

    def ask(self, target, **arguments):
        return self.post(target, json.dumps(arguments), "application/json")

    def test_a_long_text_is_counted_while_it_comes(self):
        # More than is held of any other request, and cut in the middle of words.
        text = b"The white whale. A whale, a ship!\n" * 10_000
        pieces = (text[at : at + 10_000] for at in range(0, len(text), 10_000))
        counted = json.loads(self.post("tally/top?count=2", pieces, OCTETS))
        self.assertEqual(counted, [{"word": "whale", "times": 20_000},
                                   {"word": "ship", "times": 10_000}])

    def test_languages_make_lists_in_their_own_way(self):
        words = [{"word": "whale", "times": 1226}, {"word": "sea", "times": 455}]
        said = json.loads(self.ask("say/words", words=words, language="de"))
        self.assertEqual(said, "whale (1.226) und sea (455)")

    def test_a_report_comes_line_by_line_from_two_languages(self):
        words = [{"word": "whale", "times": 2}, {"word": "ship", "times": 1}]
        events = self.ask("report/lines", words=words, languages=["en", "fr"]).decode()
        lines = [json.loads(line) for line in re.findall('data: (".*)', events)]
        self.assertEqual(lines, ["en: whale (2) and ship (1)", "fr: whale (2) et ship (1)"])


if __name__ == "__main__":
    unittest.main()
