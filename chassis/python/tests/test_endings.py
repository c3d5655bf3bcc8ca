"""How a worker ends: last, quit, the end of either descriptor, SIGTERM."""

import os
import signal
import unittest

from fake_manager import EndOfFrames, Manager


class Endings(unittest.TestCase):
    slots = "1"

    def setUp(self) -> None:
        self.manager = Manager("sample.py", self.slots)
        self.addCleanup(self.manager.close)
        self.manager.interrogate()

    def assert_ends_well(self) -> None:
        self.assertEqual(self.manager.exit_status(), 0)
        with self.assertRaises(EndOfFrames):
            self.manager.receive()
        self.assertIn("after run", self.manager.log())  # `run` returned

    def test_quit(self) -> None:
        self.manager.send("Q", {})
        self.assert_ends_well()

    def test_quit_while_a_call_runs(self) -> None:
        call = self.manager.send_call("nap", [0.05])
        self.manager.send("Q", {})
        self.assertEqual(self.manager.receive().header["id"], call)
        self.assert_ends_well()

    def test_end_of_input(self) -> None:
        self.manager.end_of_input()
        self.assert_ends_well()

    def test_end_of_input_while_a_call_runs(self) -> None:
        self.manager.send_call("nap", [0.05])
        self.manager.end_of_input()
        self.assertEqual(self.manager.receive().value(), "rested")
        self.assert_ends_well()

    def test_end_of_input_within_a_frame(self) -> None:
        self.manager.send_bytes(b"\0\0\0\x20C")
        self.manager.end_of_input()
        self.assert_ends_well()

    def test_nobody_reads_the_answers(self) -> None:
        self.manager.stop_reading()
        self.manager.send_call("text_of", [1])
        self.assertEqual(self.manager.exit_status(), 0)

    def test_last(self) -> None:
        with Manager("conformance.py") as manager:
            manager.interrogate()
            frame = manager.call("last", {"value": {"a": 1}})
            self.assertEqual((frame.type, frame.value()), ("R", {"a": 1}))
            self.assertIs(frame.header["last"], True)
            self.assertEqual(manager.exit_status(), 0)

    def test_last_with_a_value_that_cannot_be_sent(self) -> None:
        self.assertEqual(self.manager.call_last("make", ["last nan"]).type, "E")
        self.assert_ends_well()

    def test_sigterm(self) -> None:
        self.assertEqual(self.manager.call("text_of", [1]).type, "R")
        os.kill(self.manager.pid, signal.SIGTERM)
        self.assertEqual(self.manager.exit_status(), -signal.SIGTERM)


class EndingsOfManySlots(Endings):
    slots = "3"

    def test_last_lets_other_calls_finish(self) -> None:
        waiting = self.manager.send_call("wait_for_cancel")
        self.manager.call_last("make", ["last nan"])
        self.manager.send("X", {"id": waiting, "reason": "shutdown"})
        self.assertEqual(self.manager.receive().value(), "shutdown")
        self.assert_ends_well()

    def test_calls_that_cross_a_last_are_answered(self) -> None:
        frame = self.manager.call("make", ["last nan"])
        self.assertIs(frame.header["last"], True)
        for size in range(10):  # more than there are slots
            self.assertEqual(self.manager.call("text_of", [size]).value(), "x" * size)
        self.manager.send("Q", {})
        self.assert_ends_well()

    def test_end_of_input_after_a_last(self) -> None:
        frame = self.manager.call("make", ["last nan"])
        self.assertIs(frame.header["last"], True)
        self.manager.end_of_input()
        self.assert_ends_well()

    def test_quit_lets_nested_calls_finish(self) -> None:
        parent = self.manager.send_call("relay", ["do", []])
        nested = self.manager.receive()
        self.manager.send("Q", {})
        self.manager.send("A", {"id": nested.header["id"]}, b"5")
        end = self.manager.receive()
        self.assertEqual((end.header["id"], end.value()), (parent, 5))
        self.assert_ends_well()
