"""Streamed requests and their credit: one slot, several, async functions."""

import hashlib
import unittest
from typing import Any, List

from fake_manager import WELCOME, Frame, Manager

CREDIT = WELCOME["stream_credit"]


class Inputs(unittest.TestCase):
    arguments = ("plain", "1")

    def setUp(self) -> None:
        self.manager = Manager("input_sample.py", *self.arguments)
        self.addCleanup(self.manager.close)
        self.hello = self.manager.interrogate()

    def begin(self, function: str, arguments: Any = None) -> int:
        return self.manager.send_call(function, arguments, input=True)

    def give(self, call: int, piece: bytes, end: bool = False) -> None:
        header = {"id": call, "end": True} if end else {"id": call}
        self.manager.send("I", header, piece)

    def granted(self, call: int) -> int:
        """The bytes of the next frame, which must be a grant."""
        frame = self.manager.receive()
        self.assertEqual((frame.type, frame.header["id"]), ("G", call), frame)
        return frame.header["bytes"]

    def end(self, call: int) -> Frame:
        """The frame that ends the call; grants before it are of no interest."""
        while True:
            frame = self.manager.receive()
            if frame.type != "G":
                self.assertEqual(frame.header["id"], call)
                return frame

    def test_it_is_announced(self) -> None:
        functions = {function["name"]: function for function in self.hello["functions"]}
        self.assertIs(functions["reads"]["input"], True)
        self.assertNotIn("input", functions["undeclared"])

    def test_the_first_read_grants_and_later_ones_give_back(self) -> None:
        call = self.begin("mirror")
        self.assertEqual(self.granted(call), CREDIT)
        size = CREDIT // 16
        for _ in range(3):
            given = 0
            for letter in b"ab":
                self.give(call, bytes([letter]) * size)
                piece = self.manager.receive()
                self.assertEqual(piece.payload, bytes([letter]) * size)
                self.manager.send("F", {"id": call, "bytes": size})
                given += size
            # An eighth of the credit is used, and back when the next piece is asked for.
            self.assertEqual(self.granted(call), given)
        self.give(call, b"", end=True)
        self.assertEqual(self.end(call).type, "R")

    def test_nothing_is_granted_after_the_end(self) -> None:
        call = self.begin("reads", [[-1]])
        self.assertEqual(self.granted(call), CREDIT)
        self.give(call, b"x" * CREDIT, end=True)
        frame = self.manager.receive()
        self.assertEqual(frame.type, "R", frame)
        self.assertEqual(frame.value(), ["x" * CREDIT, True])

    def test_reads_of_any_size(self) -> None:
        call = self.begin("reads", [[3, 0, 4, 100]])
        for piece in (b"ab", b"cdefg", b"h"):
            self.give(call, piece)
        self.give(call, b"", end=True)
        self.assertEqual(self.end(call).value(), ["abc", "", "defg", "h", True])

    def test_a_call_may_end_before_its_input(self) -> None:
        call = self.begin("reads", [[2]])
        self.give(call, b"abc")
        self.assertEqual(self.end(call).value(), ["ab", False])
        self.give(call, b"def")  # it crosses the answer
        self.give(call, b"", end=True)
        unread = self.begin("reads", [[]])
        self.assertEqual(self.manager.receive().value(), [False])
        self.give(unread, b"abc")
        last = self.begin("reads", [[-1]])
        self.give(last, b"own", end=True)
        self.assertEqual(self.end(last).value(), ["own", True])

    def test_without_an_input_there_is_an_empty_one(self) -> None:
        frame = self.manager.call("reads", [[5]])
        self.assertEqual(frame.value(), ["", True])
        self.assertEqual(self.manager.call("undeclared").value(), [False, ""])

    def test_cancel_while_it_waits(self) -> None:
        call = self.begin("reads", [[-1]])
        self.assertEqual(self.granted(call), CREDIT)
        self.give(call, b"abc")
        self.manager.send("X", {"id": call, "reason": "client_left"})
        end = self.end(call)
        self.assertEqual((end.type, end.header["type"]), ("E", "Cancelled"))
        self.assertEqual(self.manager.call("undeclared").type, "R")

    def test_the_end_of_descriptor_3_while_it_waits(self) -> None:
        call = self.begin("reads", [[-1]])
        self.assertEqual(self.granted(call), CREDIT)
        self.manager.end_of_input()
        self.assertEqual(self.end(call).type, "E")
        self.assertEqual(self.manager.exit_status(), 0)

    def test_a_quit_lets_it_read_to_the_end(self) -> None:
        call = self.begin("reads", [[-1]])
        self.assertEqual(self.granted(call), CREDIT)
        self.manager.send("Q", {})
        self.give(call, b"abc", end=True)
        self.assertEqual(self.end(call).value(), ["abc", True])
        self.assertEqual(self.manager.exit_status(), 0)

    def test_it_may_call_the_cluster_in_between(self) -> None:
        call = self.begin("asks")
        self.assertEqual(self.granted(call), CREDIT)
        self.give(call, b"first")
        while (nested := self.manager.receive()).type != "N":
            self.assertEqual(nested.type, "G")
        self.assertEqual(nested.value(), ["first"])
        self.give(call, b"re")
        self.give(call, b"st", end=True)
        self.manager.send("A", {"id": nested.header["id"]}, b"1")
        self.assertEqual(self.end(call).value(), [1, "rest"])

    def test_pings_are_answered_while_it_waits(self) -> None:
        call = self.begin("reads", [[-1]])
        self.assertEqual(self.granted(call), CREDIT)
        self.manager.send("P", {})
        self.assertEqual(self.manager.receive().type, "O")


class InputsOfPlainFunctions(Inputs):
    def test_a_buffered_reader_gives_lines(self) -> None:
        call = self.begin("lines")
        for piece in (b"a\nb", b"c", b"\n\n", b"d"):
            self.give(call, piece)
        self.give(call, b"", end=True)
        self.assertEqual(self.end(call).value(), ["a\n", "bc\n", "\n", "d"])

    def test_it_says_what_it_is(self) -> None:
        call = self.begin("sort")
        header = {"id": call, "content_type": "text/csv"}
        self.manager.send("I", header, b"a,")
        self.give(call, b"b", end=True)
        self.assertEqual(self.end(call).value(), ["a,b", "text/csv"])

    def test_other_threads_have_none_of_it(self) -> None:
        call = self.begin("from_a_thread")
        expected = "only the thread that runs the function can wait for streams"
        if self.arguments[1] == "1":
            self.assertIn(expected, self.end(call).value())
        else:
            self.assertEqual(self.end(call).value(), "empty")


class SideBySide(Inputs):
    """More tests for more slots than one."""

    def test_each_call_gets_its_own(self) -> None:
        calls = [self.begin("reads", [[-1]]) for _ in range(4)]
        for _ in calls:
            self.assertEqual(self.manager.receive().type, "G")
        for number in range(10):
            for call in calls:
                self.give(call, b"%d,%d " % (call, number))
        ends: List[Frame] = []
        for call in reversed(calls):
            self.give(call, b"", end=True)
            ends.append(self.manager.receive())
        self.assertEqual([end.header["id"] for end in ends], calls[::-1])
        for end in ends:
            call = end.header["id"]
            expected = "".join(f"{call},{number} " for number in range(10))
            self.assertEqual(end.value(), [expected, True])

    def test_a_cancel_concerns_one(self) -> None:
        calls = [self.begin("reads", [[-1]]) for _ in range(2)]
        for _ in calls:
            self.assertEqual(self.manager.receive().type, "G")
        self.manager.send("X", {"id": calls[0], "reason": "client_left"})
        self.assertEqual(self.end(calls[0]).type, "E")
        self.give(calls[1], b"abc", end=True)
        self.assertEqual(self.end(calls[1]).value(), ["abc", True])


class InputsOfManySlots(InputsOfPlainFunctions, SideBySide):
    arguments = ("plain", "4")


class InputsOfAsyncFunctions(SideBySide):
    arguments = ("async", "4")

    def test_what_blocks_is_refused(self) -> None:
        end = self.end(self.begin("blocks"))
        self.assertEqual(end.header["type"], "RuntimeError")
        self.assertIn("aread", end.header["message"])

    def test_what_is_cancelled_may_clean_up(self) -> None:
        call = self.begin("cleans_up", [20])
        self.assertEqual(self.granted(call), CREDIT)
        self.manager.send("X", {"id": call, "reason": "deadline"})
        self.assertEqual(self.end(call).header["message"], "cancelled")
        self.assertIn("cleaned up", self.manager.log())


class Measure(unittest.TestCase):
    def test_the_conformance_workers_hash_what_comes(self) -> None:
        data = bytes(range(256)) * 1024
        for script in ("conformance.py", "conformance_async.py"):
            with self.subTest(script), Manager(script) as manager:
                manager.interrogate(stream_credit=len(data))
                call = manager.send_call("measure", input=True)
                self.assertEqual(manager.receive().header["bytes"], len(data))
                for start in range(0, len(data), 65536):
                    manager.send("I", {"id": call}, data[start : start + 65536])
                manager.send("I", {"id": call, "end": True})
                while (end := manager.receive()).type == "G":
                    pass
                expected = hashlib.sha256(data).hexdigest()
                self.assertEqual(end.value(), {"bytes": len(data), "sha256": expected})


del Inputs, SideBySide  # what they have in common is tested by those below
