"""What the tests of the C++ chassis share: a worker over real pipes, and what it must hold to.

BUILD names the folder with the binaries `conformance` and `features`; `make test` sets it.
"""

import os
import pathlib
import unittest

from fake_manager import Manager

BUILD = pathlib.Path(os.environ["BUILD"])
CONFORMANCE = [str(BUILD / "conformance")]


def features(slots=1):
    return [str(BUILD / "features"), str(slots)]


class ChassisTest(unittest.TestCase):
    command = CONFORMANCE

    def setUp(self):
        self.manager = self.start(self.command)
        self.hello = self.manager.introduce()

    def start(self, command, **options):
        return self.enterContext(Manager(command, **options))

    def assert_error(self, frame, message, type=None):
        self.assertEqual(frame.type, "E", frame)
        self.assertEqual(frame.header["message"], message)
        if type is not None:
            self.assertEqual(frame.header["type"], type)

    def assert_alive(self):
        self.manager.send("P")
        self.assertEqual(self.manager.receive().type, "O")
