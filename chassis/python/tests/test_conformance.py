"""The conformance worker does what the table in the protocol says."""

import time
import unittest
from typing import Any

from fake_manager import Manager


class Conformance(unittest.TestCase):
    def setUp(self) -> None:
        self.manager = Manager("conformance.py")
        self.addCleanup(self.manager.close)
        self.manager.interrogate()

    def value(self, function: str, **arguments: Any) -> Any:
        frame = self.manager.call(function, arguments)
        self.assertEqual(frame.type, "R", frame)
        return frame.value()

    def test_echo(self) -> None:
        for value in (None, 1, 2.5, "\u00e9", [], {"a": [{}]}, 2**70, True):
            self.assertEqual(self.value("echo", value=value), value)

    def test_add(self) -> None:
        self.assertEqual(self.value("add", a=1, b=2), 3)
        self.assertEqual(self.manager.call("add", [1, 2, 3]).value(), 6)

    def test_fail(self) -> None:
        frame = self.manager.call("fail", {"message": "on purpose"})
        self.assertEqual(frame.header["message"], "on purpose")
        self.assertEqual(frame.header["type"], "RuntimeError")
        self.assertIn("in fail", frame.payload.decode())
        self.assertEqual(self.value("echo", value=1), 1)

    def test_sleep(self) -> None:
        start = time.monotonic()
        self.assertEqual(self.value("sleep", ms=50), "slept")
        self.assertGreaterEqual(time.monotonic() - start, 0.05)

    def test_sleep_cancelled(self) -> None:
        call = self.manager.send_call("sleep", {"ms": 3_600_000})
        self.manager.send("X", {"id": call, "reason": "deadline"})
        frame = self.manager.receive()
        self.assertEqual((frame.type, frame.header["message"]), ("E", "cancelled"))

    def test_remaining(self) -> None:
        left = self.manager.call("remaining", timeout_ms=60_000).value()
        self.assertIsInstance(left, int)
        self.assertTrue(30_000 < left <= 60_000, left)
        self.assertEqual(self.manager.call("remaining", timeout_ms=0).value(), 0)

    def test_count(self) -> None:
        for size, expected in ((0, [1, 2, 3]), (5, ["xxxxx"] * 3)):
            self.manager.send_call("count", {"to": 3, "size": size})
            frames = [self.manager.receive() for _ in range(4)]
            self.assertEqual([frame.type for frame in frames], list("SSSR"))
            self.assertEqual([frame.value() for frame in frames[:3]], expected)
            self.assertEqual(frames[3].payload, b"")

    def test_print(self) -> None:
        self.assertIsNone(self.value("print", text="hello, log"))
        self.assertEqual(self.manager.log().count("hello, log\n"), 2)
        self.assertEqual(self.value("echo", value=1), 1)
