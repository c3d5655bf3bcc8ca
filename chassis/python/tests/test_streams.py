"""Streamed replies and their credit, with one slot and with several."""

import os
import sys
import threading
import unittest
from typing import Any, List, Tuple

from fake_manager import PACKAGE, WELCOME, Frame, Manager

sys.path.insert(0, PACKAGE)

from katamari.describe import describe_worker  # noqa: E402
from katamari.frames import FLOW  # noqa: E402
from katamari.many_slots import ManySlots  # noqa: E402
from katamari.session import Call  # noqa: E402

CREDIT = WELCOME["stream_credit"]


class Streams(unittest.TestCase):
    slots = "1"

    def setUp(self) -> None:
        self.manager = Manager("sample.py", self.slots)
        self.addCleanup(self.manager.close)
        self.manager.interrogate()

    def collect(self, call: int) -> Tuple[List[Frame], Frame]:
        """The pieces of a stream, and the frame that ends it."""
        pieces: List[Frame] = []
        while True:
            frame = self.manager.receive()
            self.assertEqual(frame.header["id"], call)
            if frame.type != "S":
                return pieces, frame
            pieces.append(frame)

    def stream(self, function: str, arguments: Any = None) -> Tuple[List[Any], Frame]:
        pieces, end = self.collect(self.manager.send_call(function, arguments))
        return [piece.value() for piece in pieces], end

    def pieces_until_pong(self) -> int:
        """How many pieces come before the worker has nothing to do but pong."""
        count = 0
        while True:
            frame = self.manager.receive()
            if frame.type == "O":
                return count
            self.assertEqual(frame.type, "S")
            count += 1

    def test_pieces_and_an_empty_end(self) -> None:
        pieces, end = self.stream("numbers", [3])
        self.assertEqual(pieces, [1, 2, 3])
        self.assertEqual((end.type, end.payload), ("R", b""))

    def test_no_pieces(self) -> None:
        pieces, end = self.stream("numbers", [0])
        self.assertEqual((pieces, end.type, end.payload), ([], "R", b""))

    def test_a_last_value(self) -> None:
        pieces, end = self.stream("numbers", [1, {"sum": 1}])
        self.assertEqual((pieces, end.value()), ([1], {"sum": 1}))

    def test_an_error_in_the_middle(self) -> None:
        pieces, end = self.stream("numbers", {"to": 5, "fail_at": 3})
        self.assertEqual(pieces, [1, 2])
        self.assertEqual((end.type, end.header["message"]), ("E", "no 3"))
        self.assertIn("in numbers", end.payload.decode())

    def test_any_iterable_of_a_function_declared_to_stream(self) -> None:
        self.assertEqual(self.stream("lines", ["a\nb"])[0], ["a", "b"])

    def test_pieces_that_are_not_json(self) -> None:
        pieces, _ = self.collect(self.manager.send_call("chunks"))
        self.assertEqual(
            [(p.payload, p.header["content_type"]) for p in pieces],
            [(b"\0\1", "application/octet-stream"), (b"<p>", "text/html")],
        )

    def test_last_after_a_stream(self) -> None:
        pieces, end = self.stream("last_numbers")
        self.assertEqual((pieces, end.value(), end.header["last"]), ([1], 2, True))
        if self.slots != "1":
            self.manager.send("Q", {})
        self.assertEqual(self.manager.exit_status(), 0)

    def test_it_stops_without_credit_and_goes_on_with_more(self) -> None:
        # A piece is 100 bytes long, with its quotes; the last may overdraw the credit.
        call = self.manager.send_call("numbers", {"to": 60, "size": 98})
        expected = -(-CREDIT // 100)
        for _ in range(expected):
            self.assertEqual(self.manager.receive().type, "S")
        self.manager.send("P", {})
        self.assertEqual(self.pieces_until_pong(), 0)
        self.manager.send("F", {"id": call, "bytes": expected * 100 - CREDIT})
        self.manager.send("P", {})
        self.assertEqual(self.pieces_until_pong(), 0)  # zero is not enough
        self.manager.send("F", {"id": call, "bytes": 501})
        for _ in range(6):
            self.assertEqual(self.manager.receive().type, "S")
        self.manager.send("F", {"id": call, "bytes": 1_000_000})
        pieces, end = self.collect(call)
        self.assertEqual(len(pieces), 60 - expected - 6)
        self.assertEqual(end.type, "R")

    def test_one_large_piece_needs_no_more_credit_than_there_is(self) -> None:
        pieces, end = self.stream("numbers", {"to": 1, "size": CREDIT * 3})
        self.assertEqual(len(pieces[0]), CREDIT * 3)
        self.assertEqual(end.type, "R")

    def test_a_last_value_waits_for_credit(self) -> None:
        call = self.manager.send_call("numbers", [1, "end", 0, CREDIT])
        self.assertEqual(self.manager.receive().type, "S")
        self.manager.send("P", {})
        self.assertEqual(self.pieces_until_pong(), 0)
        self.manager.send("F", {"id": call, "bytes": CREDIT})
        pieces, end = self.collect(call)
        self.assertEqual((pieces, end.value()), ([], "end"))

    def test_cancel_while_it_waits_for_credit(self) -> None:
        call = self.manager.send_call("numbers", {"to": 1000, "size": CREDIT})
        self.assertEqual(self.manager.receive().type, "S")
        self.manager.send("X", {"id": call, "reason": "client_left"})
        pieces, end = self.collect(call)
        self.assertEqual((pieces, end.type), ([], "E"))
        self.assertEqual(end.header["type"], "Cancelled")
        seen = self.manager.call("what_was_seen").value()
        self.assertEqual(seen, ["closed"])

    def test_cancel_while_it_has_credit(self) -> None:
        with Manager("sample.py", self.slots) as manager:
            manager.interrogate(stream_credit=1 << 40)
            call = manager.send_call("numbers", [1 << 40])
            self.assertEqual(manager.receive().type, "S")
            manager.send("X", {"id": call, "reason": "deadline"})
            for _ in range(200_000):  # far more than fit into the pipe
                frame = manager.receive()
                if frame.type == "E":
                    break
            self.assertEqual(frame.type, "E")
            self.assertEqual(manager.call("text_of", [1]).value(), "x")

    def test_end_of_input_while_it_waits_for_credit(self) -> None:
        call = self.manager.send_call("numbers", {"to": 1000, "size": CREDIT})
        self.assertEqual(self.manager.receive().type, "S")
        self.manager.end_of_input()
        _, end = self.collect(call)
        self.assertEqual(end.type, "E")
        self.assertEqual(self.manager.exit_status(), 0)

    def test_a_piece_too_large(self) -> None:
        pieces, end = self.stream("numbers", [1, 0, 0, WELCOME["frame_max"]])
        self.assertEqual((pieces, end.header["type"]), ([], "TooLarge"))


class StreamsOfManySlots(Streams):
    slots = "2"


class CreditOfManySlots(unittest.TestCase):
    def test_no_credit_is_lost_when_it_comes_while_a_piece_is_sent(self) -> None:
        pieces = flows = 20_000
        session = ManySlots(describe_worker("k", {}, (), (), 2), {})
        session.descriptor = os.open(os.devnull, os.O_WRONLY)
        self.addCleanup(os.close, session.descriptor)
        self.addCleanup(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-6)  # threads take turns as often as they can
        call = Call({"id": 1}, 0.0, 10 * pieces)
        session._calls[call.id] = call

        def give() -> None:
            for _ in range(flows):
                session._take((FLOW, {"id": call.id, "bytes": 3}, b""))

        giver = threading.Thread(target=give)
        giver.start()
        session._stream(call, ("x" for _ in range(pieces)))  # 3 bytes each, as JSON
        giver.join()
        self.assertEqual(call.credit, 10 * pieces)
