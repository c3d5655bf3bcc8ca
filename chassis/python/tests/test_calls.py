"""Calls: arguments, results, errors, time and cancellation, with one slot."""

import json
import os
import signal
import unittest
from typing import Any

from fake_manager import WELCOME, Frame, Manager, pack

PIPE_SIZE = 65536
"""Bytes that a pipe of Linux holds."""


class Calls(unittest.TestCase):
    script = "sample.py"

    def setUp(self) -> None:
        self.manager = Manager(self.script)
        self.addCleanup(self.manager.close)
        self.manager.interrogate()

    def call(self, function: str, arguments: Any = None, **more: Any) -> Frame:
        return self.manager.call(function, arguments, **more)

    def value(self, function: str, arguments: Any = None, **more: Any) -> Any:
        frame = self.call(function, arguments, **more)
        self.assertEqual(frame.type, "R", frame)
        return frame.value()

    def error(self, function: str, arguments: Any = None, **more: Any) -> Frame:
        frame = self.call(function, arguments, **more)
        self.assertEqual(frame.type, "E", frame)
        return frame


class Arguments(Calls):
    def test_by_name(self) -> None:
        given = {"third": True, "first": "a"}
        self.assertEqual(self.value("options", given), ["a", 2, True, 4])

    def test_by_position_binds_in_the_announced_order(self) -> None:
        # The keyword-only `third` is required, so it is announced before `second`.
        self.assertEqual(self.value("options", ["a", False, 7]), ["a", 7, False, 4])

    def test_missing_unknown_and_too_many(self) -> None:
        self.assertIn("third", self.error("options", {"first": 1}).header["message"])
        given = {"first": 1, "third": 2, "fifth": 5}
        self.assertIn("fifth", self.error("options", given).header["message"])
        message = self.error("options", [1, 2, 3, 4, 5]).header["message"]
        self.assertEqual(message, "options takes 4 arguments, 5 were given")

    def test_unicode_and_white_space(self) -> None:
        payload = ' \n{"first": "p\u00e2t\u00e9 \U0001f363", "third": null} '.encode()
        self.assertEqual(
            self.value("options", payload), ["p\u00e2t\u00e9 \U0001f363", 2, None, 4]
        )
        raw = self.call("make", ["unicode"]).payload
        self.assertEqual(raw, '"p\u00e2t\u00e9 \u2028 \U0001f363"'.encode())

    def test_payloads_that_are_not_json(self) -> None:
        for payload in (b"", b"{", b'{"first":1} x', b'{"a":NaN}', b"\xff"):
            with self.subTest(payload=payload):
                self.error("options", payload)
        self.assertEqual(self.value("text_of", {"size": 1}), "x")

    def test_dataclasses(self) -> None:
        point = {"x": 1, "y": 2, "next": {"x": 3}}
        self.assertEqual(
            self.value("mirror", {"point": point, "more": [{"x": 5}]}),
            {
                "swapped": {"x": 2, "y": 1, "next": None},
                "last": {"x": 3, "y": 0, "next": None},
                "more": 1,
            },
        )
        self.assertEqual(self.value("mirror", [{"x": 1}, None])["more"], 0)
        message = self.error("mirror", [5]).header["message"]
        self.assertEqual(message, "Point is made of an object, not of 5")

    def test_bytes_and_payloads(self) -> None:
        octets = "application/octet-stream"
        self.assertEqual(self.value("size_of", b"\x00\xff", content_type=octets), 2)
        frame = self.call("retype", b"abc", content_type="text/plain")
        self.assertEqual(frame.payload, b"cba")
        self.assertEqual(frame.header["content_type"], "text/plain+reversed")
        frame = self.call("octets", [3])
        self.assertEqual(frame.payload, b"\xff\xff\xff")
        self.assertEqual(frame.header["content_type"], octets)

    def test_arguments_that_a_function_cannot_take(self) -> None:
        for payload in (b"5", b"null", b'"text"'):
            message = self.error("text_of", payload).header["message"]
            self.assertIn("neither an object nor an array", message)
        message = self.error("what_was_seen", b"x", content_type="a/b").header[
            "message"
        ]
        self.assertEqual(message, "what_was_seen takes 0 arguments, 1 were given")

    def test_json_by_its_content_type(self) -> None:
        for content_type in ("application/json", "application/json; charset=utf-8"):
            frame = self.call("text_of", b"[2]", content_type=content_type)
            self.assertEqual(frame.value(), "xx")


class Results(Calls):
    def test_none_is_null(self) -> None:
        self.assertEqual(self.call("make", ["none"]).payload, b"null")

    def test_the_header_holds_no_more_than_it_needs(self) -> None:
        frame = self.call("text_of", [1])
        self.assertEqual(list(frame.header), ["id"])

    def test_what_json_cannot_hold_is_an_error(self) -> None:
        for what, kind in {
            "nan": "ValueError",
            "infinity": "ValueError",
            "set": "TypeError",
            "bytes in json": "TypeError",
            "circle": "RecursionError",
            "surrogate": "UnicodeEncodeError",
        }.items():
            with self.subTest(what=what):
                self.assertEqual(self.error("make", [what]).header["type"], kind)
                self.assertIsNone(self.value("make", ["none"]))

    def test_frame_max(self) -> None:
        room = WELCOME["frame_max"] - 3 - len('{"id":1}') - len('""')
        self.assertEqual(len(self.value("text_of", [room])), room)
        error = self.error("text_of", [room + 1]).header
        self.assertEqual(error["type"], "TooLarge")
        self.assertIn(str(WELCOME["frame_max"]), error["message"])
        self.assertEqual(self.value("text_of", [1]), "x")


class Errors(Calls):
    def test_message_type_and_backtrace(self) -> None:
        frame = self.error("numbers", {})
        self.assertEqual(frame.header["type"], "TypeError")
        frame = self.error("raise_it", ["cause"])
        self.assertEqual(frame.header["type"], "ValueError")
        self.assertEqual(frame.header["message"], "outer")
        self.assertNotIn("last", frame.header)
        backtrace = frame.payload.decode()
        self.assertIn("in raise_it", backtrace)
        self.assertIn("KeyError: 'inner'", backtrace)
        self.assertIn("ValueError: outer", backtrace)

    def test_backtraces_leave_the_chassis_out(self) -> None:
        for function, arguments in (("raise_it", ["cause"]), ("raise_it", [])):
            backtrace = self.error(function, arguments).payload.decode()
            self.assertIn("Error", backtrace)
            self.assertNotIn(os.path.join("katamari", "session.py"), backtrace)

    def test_odd_exceptions(self) -> None:
        for what, kind, message in (
            ("empty", "ValueError", "ValueError"),
            ("mute", "Mute", "Mute, whose message cannot be shown"),
            ("surrogate", "ValueError", "\\ud800"),
            ("long", "ValueError", "\x00" * 8192),
            ("base", "CancelledError", "task"),
        ):
            with self.subTest(what=what):
                header = self.error("raise_it", [what]).header
                self.assertEqual((header["type"], header["message"]), (kind, message))
                self.assertNotIn("last", header)
        self.assertEqual(self.error("recurse").header["type"], "RecursionError")
        self.assertEqual(self.value("text_of", [1]), "x")

    def test_exit_and_interrupt_end_the_worker_in_good_order(self) -> None:
        for slots in ("1", "2"):
            for what, kind in (
                ("exit", "SystemExit"),
                ("interrupt", "KeyboardInterrupt"),
            ):
                with self.subTest(what=what, slots=slots):
                    with Manager(self.script, slots) as manager:
                        manager.interrogate()
                        frame = manager.call_last("raise_it", [what])
                        self.assertEqual(frame.header["type"], kind)
                        self.assertEqual(manager.exit_status(), 0)


class AboutTheCall(unittest.TestCase):
    def test_id_key_and_class(self) -> None:
        for slots in ("1", "2"):
            with self.subTest(slots=slots), Manager("sample.py", slots) as manager:
                manager.interrogate()
                more = {"call": "5f3c2a9e00000007", "key": "k", "class": "low"}
                self.assertEqual(
                    manager.call("about_the_call", **more).value(),
                    ["5f3c2a9e00000007", "k", "low"],
                )
                self.assertEqual(  # nothing of the call before
                    manager.call("about_the_call").value(),
                    ["0000000000000002", None, "normal"],
                )


class Time(Calls):
    def test_cancel_while_it_runs(self) -> None:
        for reason in ("deadline", "client_left", "shutdown"):
            call = self.manager.send_call("wait_for_cancel")
            self.manager.send("X", {"id": call, "reason": reason})
            self.assertEqual(self.manager.receive().value(), reason)

    def test_a_cancel_of_another_call_is_ignored(self) -> None:
        call = self.manager.send_call("wait_for_cancel")
        self.manager.send("X", {"id": call - 1, "reason": "deadline"})
        self.manager.send("X", {"id": call + 1, "reason": "deadline"})
        self.manager.send("P", {})
        self.assertEqual(self.manager.receive().type, "O")
        self.manager.send("X", {"id": call, "reason": "shutdown"})
        self.assertEqual(self.manager.receive().value(), "shutdown")

    def test_a_cancel_too_late_is_ignored(self) -> None:
        call = self.manager.send_call("text_of", [1])
        self.assertEqual(self.manager.receive().value(), "x")
        self.manager.send("X", {"id": call, "reason": "deadline"})
        self.assertEqual(self.value("text_of", [2]), "xx")

    def test_half_a_frame_does_not_hold_up_a_look_at_the_cancellation(self) -> None:
        call = self.manager.send_call("wait_for_cancel")
        ping, cancel = pack("P", {}), pack("X", {"id": call, "reason": "deadline"})
        self.manager.send_bytes(ping + cancel[:9])
        self.assertEqual(self.manager.receive().type, "O")
        self.manager.send_bytes(cancel[9:])
        self.assertEqual(self.manager.receive().value(), "deadline")

    def test_ping_of_an_idle_worker(self) -> None:
        self.manager.send("P", {})
        frame = self.manager.receive()
        self.assertEqual((frame.type, frame.header, frame.payload), ("O", {}, b""))


class Frames(Calls):
    def test_a_frame_byte_by_byte(self) -> None:
        header = {"id": 9, "function": "text_of", "timeout_ms": 1000}
        frame = pack("C", header, b"[3]")
        for at in range(len(frame)):
            self.manager.send_bytes(frame[at : at + 1])
        self.assertEqual(self.manager.receive().value(), "xxx")

    def test_frames_in_one_write(self) -> None:
        call = pack("C", {"id": 9, "function": "text_of", "timeout_ms": 9}, b"[3]")
        ping, unknown_keys = pack("P", {}), pack("P", {"new": [1]})
        self.manager.send_bytes(ping + call + unknown_keys)
        types = [self.manager.receive().type for _ in range(3)]
        self.assertEqual(types, ["O", "R", "O"])

    def test_frames_larger_than_a_pipe_both_ways(self) -> None:
        text = "\u00e9" * 100_000
        self.assertEqual(self.value("options", [text, 1])[0], text)

    def test_a_write_cut_short_by_a_signal_goes_on(self) -> None:
        size = 500_000
        self.manager.send_call("text_despite_alarms", [size])
        self.manager.wait_until_unread(PIPE_SIZE)  # now it is stuck in the write
        os.kill(self.manager.pid, signal.SIGALRM)
        self.assertEqual(self.manager.receive().value(), "x" * size)

    def test_what_the_protocol_does_not_allow(self) -> None:
        call = {"id": 1, "function": "nap", "timeout_ms": 1000}
        for name, sent, said in (
            ("type", pack("Z", {}), "'Z'"),
            ("length", b"\x7f\xff\xff\xffP\x00\x02{}", "2147483647"),
            ("header length", b"\x00\x00\x00\x05P\x00\x09{}", "longer"),
            ("header", b"\x00\x00\x00\x05P\x00\x02xx", "not JSON"),
            ("header type", b"\x00\x00\x00\x05P\x00\x02[]", "not an object"),
            ("call without id", pack("C", {"timeout_ms": 1}, b"[]"), "'id'"),
        ):
            with self.subTest(name), Manager(self.script) as manager:
                manager.interrogate()
                manager.send_bytes(sent)
                self.assertEqual(manager.exit_status(), 1)
                self.assertIn("ProtocolError", manager.log())
                self.assertIn(said, manager.log())
        with self.subTest("two calls"):
            self.manager.send("C", {**call, "function": "wait_for_cancel"}, b"[]")
            self.manager.send("C", {**call, "id": 2}, json.dumps([0]).encode())
            self.assertEqual(self.manager.exit_status(), 1)
            self.assertIn("the only slot was taken", self.manager.log())
