"""Async functions: many at a time on one loop, each with its own call."""

import json
import unittest
from typing import Any

from fake_manager import Frame, Manager, pack

SLOTS = 100


class Async(unittest.TestCase):
    def setUp(self) -> None:
        self.manager = Manager("async_sample.py", str(SLOTS))
        self.addCleanup(self.manager.close)
        self.hello = self.manager.interrogate()

    def cancel(self, call: int, reason: str = "deadline") -> Frame:
        self.manager.send("X", {"id": call, "reason": reason})
        return self.manager.receive()

    def log(self) -> Any:
        return self.manager.call("read_log").value()

    def test_generators_stream_and_describe_their_pieces(self) -> None:
        functions = {function["name"]: function for function in self.hello["functions"]}
        self.assertTrue(functions["pieces"]["stream"])
        self.assertEqual(functions["pieces"]["result"], "string")
        self.assertFalse(functions["both"]["stream"])
        self.assertEqual(functions["both"]["result"], "[any]")

    def test_all_run_in_the_main_thread_at_the_same_time(self) -> None:
        calls = {self.manager.send_call("meet", [SLOTS]) for _ in range(SLOTS)}
        ends = [self.manager.receive() for _ in range(SLOTS)]
        self.assertEqual({end.header["id"] for end in ends}, calls)
        self.assertEqual({end.value() for end in ends}, {"MainThread"})

    def test_each_sees_its_own_call(self) -> None:
        calls = {
            self.manager.send_call("about", timeout_ms=1000 * n, key=str(n)): n
            for n in range(100, 110)
        }
        for _ in range(len(calls)):
            end = self.manager.receive()
            number = calls.pop(end.header["id"])
            seen = end.value()
            for place in ("here", "task", "executor"):
                self.assertEqual(seen[place], str(number), place)
            self.assertTrue(number - 50 < seen["remaining"] <= number)

    def test_a_cancel_cancels_one_task(self) -> None:
        calls = [self.manager.send_call("wait", key=key) for key in "abc"]
        self.manager.call("meet", [1])  # by now they have begun
        end = self.cancel(calls[1])
        self.assertEqual(end.header["id"], calls[1])
        self.assertEqual(end.header["message"], "cancelled")
        self.assertEqual(end.header["type"], "Cancelled")
        self.assertEqual(self.log(), ["cancelled b"])
        self.assertEqual(self.cancel(calls[0]).header["id"], calls[0])

    def test_a_cancelled_function_may_answer(self) -> None:
        call = self.manager.send_call("stubborn")
        self.manager.call("meet", [1])  # by now it has begun
        self.assertEqual(self.cancel(call).value(), "all the same")

    def test_a_cancel_before_the_first_step(self) -> None:
        blocked = self.manager.send_call("about")
        self.manager.receive()
        call = blocked + 1
        header = {"id": call, "call": "1", "function": "wait", "timeout_ms": 9000}
        cancel = pack("X", {"id": call, "reason": "client_left"})
        self.manager.send_bytes(pack("C", header, b"{}") + cancel)
        end = self.manager.receive()
        self.assertEqual((end.header["id"], end.header["message"]), (call, "cancelled"))

    def test_a_stream_waits_for_credit_and_nobody_else_does(self) -> None:
        call = self.manager.send_call("pieces", [4998])
        self.assertEqual(self.manager.receive().type, "S")
        self.assertEqual(self.log(), [])
        self.manager.send("F", {"id": call, "bytes": 1000})
        self.assertEqual(self.manager.receive().type, "S")
        end = self.cancel(call, "client_left")
        self.assertEqual((end.type, end.header["message"]), ("E", "cancelled"))
        self.assertEqual(self.log(), ["closed"])

    def test_pieces_that_are_bytes(self) -> None:
        octets = {"content_type": "application/octet-stream"}
        self.manager.send_call("bytes_of", b"\x89P", **octets)
        piece = self.manager.receive()
        self.assertEqual(piece.payload, b"\x89P")
        self.assertEqual(piece.header["content_type"], "image/png")
        self.assertEqual(self.manager.receive().type, "R")

    def test_nested_calls_side_by_side(self) -> None:
        call = self.manager.send_call("both")
        asked = [self.manager.receive() for _ in range(2)]
        for nested in reversed(asked):
            self.assertEqual((nested.type, nested.header["parent"]), ("N", call))
            double = json.dumps(2 * nested.value()["number"]).encode()
            self.manager.send("A", {"id": nested.header["id"]}, double)
        self.assertEqual(self.manager.receive().value(), [2, 4])

    def test_a_task_that_outlives_its_call(self) -> None:
        self.manager.send_call("forgetful")
        self.assertEqual([self.manager.receive().type for _ in range(2)], ["N", "R"])
        self.manager.call("about")  # by now it has been told
        self.assertEqual(self.log(), ["cancelled", "the call of this task has ended"])

    def test_the_manager_is_gone_while_nested(self) -> None:
        self.manager.send_call("both")
        for _ in range(2):
            self.manager.receive()
        self.manager.end_of_input()
        self.assertIn("stopping", self.manager.receive().header["message"])
        self.assertEqual(self.manager.exit_status(), 0)

    def test_the_manager_is_gone_while_without_credit(self) -> None:
        self.manager.send_call("pieces", [4998])
        self.assertEqual(self.manager.receive().type, "S")
        self.manager.end_of_input()
        self.assertEqual(self.manager.receive().header["message"], "cancelled")
        self.assertEqual(self.manager.exit_status(), 0)

    def test_a_plain_function_holds_up_nobody(self) -> None:
        call = self.manager.send_call("plain_wait")
        self.assertEqual(self.manager.call("meet", [1]).value(), "MainThread")
        self.assertTrue(self.cancel(call).value().startswith("slot-"))

    def test_what_would_hold_up_the_loop_is_refused(self) -> None:
        end = self.manager.call("blocking_call")
        self.assertIn("await worker.acall", end.header["message"])
        end = self.manager.call("plain_acall")
        self.assertIn("only async functions", end.header["message"])

    def test_an_exit_is_the_last_answer(self) -> None:
        end = self.manager.call_last("leave")
        self.assertIn("exit(3)", end.header["message"])
        self.assertEqual(self.manager.exit_status(), 0)

    def test_a_broken_protocol_ends_the_worker(self) -> None:
        self.manager.send("Z", {})
        self.assertEqual(self.manager.exit_status(), 1)
        self.assertIn("ProtocolError", self.manager.log())

    def test_an_unknown_function(self) -> None:
        self.assertEqual(self.manager.call("nope").type, "E")


class OneSlot(unittest.TestCase):
    def test_it_exits_after_its_last_answer(self) -> None:
        with Manager("async_sample.py", "1") as manager:
            manager.interrogate()
            self.assertIs(manager.call("leave").header["last"], True)
            self.assertEqual(manager.exit_status(), 0)
