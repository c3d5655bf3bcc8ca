"""Nested calls, with one slot and with several."""

import unittest
from typing import Any

from fake_manager import WELCOME, Frame, Manager


class Nested(unittest.TestCase):
    slots = "1"

    def setUp(self) -> None:
        self.manager = Manager("sample.py", self.slots)
        self.addCleanup(self.manager.close)
        self.manager.interrogate()

    def relay(self, arguments: list, **options: Any) -> Frame:
        """Has the worker make a nested call; returns its frame."""
        self.parent = self.manager.send_call("relay", ["do", arguments, options])
        frame = self.manager.receive()
        self.assertEqual(frame.type, "N", frame)
        return frame

    def answer(self, frame: Frame, payload: bytes, **header: Any) -> Frame:
        self.manager.send("A", {"id": frame.header["id"], **header}, payload)
        end = self.manager.receive()
        self.assertEqual(end.header["id"], self.parent)
        return end

    def test_the_frame(self) -> None:
        frame = self.relay([1, "two"])
        nested_id = frame.header.pop("id")
        self.assertIsInstance(nested_id, int)
        self.assertEqual(
            frame.header,
            {"parent": self.parent, "details": {"kind": "other"}, "function": "do"},
        )
        self.assertEqual(frame.value(), [1, "two"])

    def test_the_frame_with_everything(self) -> None:
        frame = self.relay(
            [],
            kind="parse",
            versions={"grammar": "5.12.0"},
            tags=["en"],
            roles=["r"],
            timeout=0.5,
            key="k",
            class_="low",
            idempotent=True,
        )
        del frame.header["id"]
        self.assertEqual(
            frame.header,
            {
                "parent": self.parent,
                "details": {
                    "kind": "parse",
                    "grammar": "5.12.0",
                    "tags": ["en"],
                    "roles": ["r"],
                },
                "function": "do",
                "timeout_ms": 500,
                "key": "k",
                "class": "low",
                "idempotent": True,
            },
        )

    def test_a_value(self) -> None:
        end = self.answer(self.relay([]), b'{"a": [1]}')
        self.assertEqual((end.type, end.value()), ("R", {"a": [1]}))

    def test_payloads_both_ways(self) -> None:
        frame = self.relay([], payload="ping")
        self.assertEqual(frame.payload, b"ping")
        self.assertEqual(frame.header["content_type"], "text/plain")
        end = self.answer(frame, b"pong", content_type="text/html")
        self.assertEqual(end.value(), {"payload": "pong", "type": "text/html"})

    def test_bytes_of_any_sort(self) -> None:
        for sort in ("bytes", "bytearray", "memoryview"):
            with self.subTest(sort):
                self.parent = self.manager.send_call("call_with_bytes", [sort])
                frame = self.manager.receive()
                self.assertEqual((frame.type, frame.payload), ("N", b"\0\xff"))
                octets = "application/octet-stream"
                self.assertEqual(frame.header["content_type"], octets)
                self.assertEqual(self.answer(frame, b"1").value(), 1)

    def test_by_target_and_by_name(self) -> None:
        self.parent = self.manager.send_call("call_by_target", ["parse.linkage"])
        frame = self.manager.receive()
        self.assertEqual(frame.header["details"], {"kind": "parse"})
        self.assertEqual(frame.header["function"], "linkage")
        self.assertEqual(frame.value(), {"text": "t"})
        self.assertEqual(self.answer(frame, b"1").value(), 1)

    def test_an_error(self) -> None:
        frame = self.relay([])
        error = {"id": frame.header["id"], "code": "no_pool", "message": "none such"}
        self.manager.send("B", error)
        end = self.manager.receive()
        self.assertEqual(end.type, "E")
        self.assertEqual(end.header["type"], "CallError")
        self.assertEqual(end.header["message"], "no_pool: none such")

    def test_it_can_be_caught_by_its_code(self) -> None:
        with Manager("conformance.py") as manager:
            manager.interrogate()
            given = {"kind": "k", "function": "f", "arguments": {"a": 1}}
            manager.send_call("nested", given)
            nested = manager.receive()
            self.assertEqual(nested.value(), {"a": 1})
            error = {"id": nested.header["id"], "code": "busy", "message": "m"}
            manager.send("B", error)
            self.assertEqual(manager.receive().value(), {"error": "busy"})
            manager.send_call("nested", given)
            nested = manager.receive()
            manager.send("A", {"id": nested.header["id"]}, b"[2]")
            self.assertEqual(manager.receive().value(), {"result": [2]})

    def test_too_large(self) -> None:
        given = ["other.do", WELCOME["frame_max"]]
        end = self.manager.call("call_by_target", given)
        self.assertEqual(end.header["type"], "CallError")
        self.assertIn("too_large", end.header["message"])

    def test_targets_that_cannot_be(self) -> None:
        for target in ("nodot", "k\u00e4se.do", ".do", 5):
            end = self.manager.call("call_by_target", [target])
            self.assertEqual(end.type, "E", target)
        end = self.manager.call("relay", [5, []])
        self.assertIn("expected a function's name", end.header["message"])

    def test_ping_and_other_answers_while_it_waits(self) -> None:
        frame = self.relay([])
        self.manager.send("P", {})
        self.assertEqual(self.manager.receive().type, "O")
        self.manager.send("A", {"id": frame.header["id"] + 1}, b"0")
        self.assertEqual(self.answer(frame, b"1").value(), 1)

    def test_a_cancel_while_it_waits_is_seen_after(self) -> None:
        self.parent = self.manager.send_call("relay_then_look", ["do"])
        frame = self.manager.receive()
        self.manager.send("X", {"id": self.parent, "reason": "client_left"})
        self.assertEqual(self.answer(frame, b"1").value(), [1, True])

    def test_quit_while_it_waits(self) -> None:
        frame = self.relay([])
        self.manager.send("Q", {})
        self.assertEqual(self.answer(frame, b"1").value(), 1)
        self.assertEqual(self.manager.exit_status(), 0)

    def test_end_of_input_while_it_waits(self) -> None:
        self.relay([])
        self.manager.end_of_input()
        end = self.manager.receive()
        self.assertEqual(end.header["type"], "CallError")
        self.assertIn("stopping", end.header["message"])
        self.assertEqual(self.manager.exit_status(), 0)


class NestedOfManySlots(Nested):
    slots = "2"

    def test_answers_in_another_order(self) -> None:
        first = self.manager.send_call("relay", ["do", [1]])
        second = self.manager.send_call("relay", ["do", [2]])
        frames = {frame.value()[0]: frame for frame in self.two_frames()}
        self.assertEqual(frames[1].header["parent"], first)
        self.assertEqual(frames[2].header["parent"], second)
        self.manager.send("A", {"id": frames[2].header["id"]}, b'"b"')
        end = self.manager.receive()
        self.assertEqual((end.header["id"], end.value()), (second, "b"))
        self.manager.send("A", {"id": frames[1].header["id"]}, b'"a"')
        end = self.manager.receive()
        self.assertEqual((end.header["id"], end.value()), (first, "a"))

    def two_frames(self) -> list:
        return [self.manager.receive(), self.manager.receive()]


class OtherThreads(unittest.TestCase):
    def test_only_the_functions_own_thread_can_call(self) -> None:
        with Manager("sample.py") as manager:
            manager.interrogate()
            self.assertIn("only the thread", manager.call("from_a_thread").value())
