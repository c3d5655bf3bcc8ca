"""Drives the worker `features`, which uses what the conformance worker does not."""

import subprocess
import unittest

from chassis_test import ChassisTest, features


class Features(ChassisTest):
    command = features()

    def test_types(self):
        arguments = {"text": "t", "small": -128, "wide": 2**64 - 1, "ratio": 2, "flag": True,
                     "list": [[1], []], "table": {"a": 1, "b": None}, "any": {"x": []}}
        self.assertEqual(self.manager.result("types", arguments),
                         ["t", -128, 2**64 - 1, 2.0, True, [[1], []], 2, {"x": []}, "-"])
        self.assertEqual(self.manager.result("types", {**arguments, "maybe": "m"})[-1], "m")
        for name, value, message in (
            ("text", 1, "`text`: expected string, came the number 1"),
            ("small", 128, "`small`: expected an integer from -128 to 127, came the number 128"),
            ("wide", -1, "`wide`: expected an integer from 0 to 18446744073709551615, "
                         "came the number -1"),
            ("ratio", "2", "`ratio`: expected number, came string"),
            ("flag", 0, "`flag`: expected boolean, came the number 0"),
            ("list", [[1], [2, {}]], "`list`[1][1]: expected integer, came object"),
            ("list", {}, "`list`: expected array, came object"),
            ("table", {"a": "x"}, "`table`.a: expected integer, came string"),
            ("maybe", [], "`maybe`: expected string, came array"),
        ):
            with self.subTest(name=name, value=value):
                answer = self.manager.call("types", {**arguments, name: value})
                self.assert_error(answer, "parameter " + message)

    def test_types_of_the_users_own(self):
        self.assertEqual(self.manager.result("mirror", [{"x": 1, "y": 2}]), {"x": 2, "y": 1})
        answer = self.manager.call("mirror", [{"x": 1}])
        self.assert_error(answer, "parameter `point`: key 'y' not found")

    def test_optional_result(self):
        self.assertEqual(self.manager.result("half", [8]), 4)
        self.assertIsNone(self.manager.result("half", [7]))

    def test_bytes(self):
        data = bytes(range(256))
        answer = self.manager.call("reverse", payload=data, content_type="image/png")
        self.assertEqual(answer.header["content_type"], "image/png")
        self.assertEqual(answer.payload, data[::-1])
        self.assert_error(self.manager.call("reverse", {"bytes": "x"}),
                          "expected bytes with a content type of their own, came JSON")
        self.assert_error(self.manager.call("half", payload=data, content_type="image/png"),
                          "expected JSON arguments, came image/png")

    def test_bytes_without_a_content_type(self):
        answer = self.manager.call("untyped", ["{"])
        self.assertEqual(answer.header["content_type"], "application/octet-stream")
        self.assertEqual(answer.payload, b"{")

    def test_results_that_json_cannot_say(self):
        self.assert_error(self.manager.call("nan"), "the result.scores[1] is not a finite number, "
                          "which JSON cannot say", "katamari::JsonError")
        self.assert_error(self.manager.call("discarded"), "the result[1] is what was discarded in "
                          "parsing, which JSON cannot say", "katamari::JsonError")
        self.assert_error(self.manager.call("send_discarded"), "the piece is what was discarded in "
                          "parsing, which JSON cannot say", "katamari::JsonError")
        answer = self.manager.call("latin1")
        self.assertIn("the result holds text that is not UTF-8", answer.header["message"])
        self.assert_alive()

    def test_exceptions_of_every_kind(self):
        self.assert_error(self.manager.call("refuse"), "no \ufffd today", "example::Refusal")
        self.assert_error(self.manager.call("throw_int"), "an exception of type int", "int")
        answer = self.manager.call("wrapped")
        self.assert_error(answer, "the effect", "std::runtime_error")
        self.assertEqual(answer.payload, b"caused by example::Refusal: the cause\n")

    def test_long_errors_are_cut_between_characters(self):
        cause = "caused by example::Refusal: "
        for text in ("\u20ac" * 100_000, "\x01" * 100_000):  # three bytes; escaped sixfold
            answer = self.manager.call("fail_long", [text])
            width = len(text[0].encode())
            self.assert_error(answer, text[:8 * 1024 // width])
            kept = (64 * 1024 - len(cause)) // width
            self.assertEqual(answer.payload.decode(), cause + text[:kept])
        self.assertEqual(self.manager.call("fail_long", ["short \u20ac"]).header["message"],
                         "short \u20ac")

    def test_a_forked_child_does_not_answer(self):
        self.assertEqual(self.manager.result("stray_child"), 76)
        self.assertIn("katamari: cannot write descriptor 4", self.manager.printed())
        self.assert_alive()

    def test_reason_of_a_cancel(self):
        for function in ("wait_for_cancel", "send_until_cancelled"):
            for reason in ("deadline", "client_left"):
                id = self.manager.start_call(function)
                self.manager.send("X", {"id": id, "reason": reason})
                while (frame := self.manager.receive()).type == "S":
                    pass
                self.assert_error(frame, reason)

    def test_reason_at_the_end_of_descriptor_3(self):
        self.manager.start_call("send_until_cancelled")
        self.manager.hang_up()
        while (frame := self.manager.receive()).type == "S":
            pass
        self.assert_error(frame, "shutdown")

    def test_children_do_not_think_they_have_a_manager(self):
        self.assertIs(self.manager.result("environment"), False)

    def test_frame_max(self):
        manager = self.start(features())
        manager.introduce(frame_max=4096)
        header = len('{"id":1}')
        room = 4096 - 3 - header - 2
        self.assertEqual(len(manager.result("huge", [room])), room)
        answer = manager.call("huge", [room + 1])
        self.assert_error(answer, "a frame of 4097 bytes; allowed are 4096")
        self.assertEqual(manager.call("types", {"x" * 3000: 1}).type, "E")
        manager.start_call("ask", {"text": "x" * 3950})
        self.assertIn("too_large", manager.receive().header["message"])

    def test_a_piece_that_is_too_large_costs_no_credit(self):
        manager = self.start(features())
        manager.introduce(frame_max=4096, stream_credit=4096)
        manager.start_call("shrinking", [16_000])
        frames = [manager.receive() for _ in range(2)]
        self.assertEqual([frame.type for frame in frames], ["S", "R"])
        self.assertEqual(len(frames[0].value), 4000)

    def test_details_of_a_call(self):
        self.assertEqual(self.manager.result("about", key="k1"),
                         {"id": "0000000000000001", "key": "k1", "class": "normal"})
        self.assertEqual(self.manager.result("about")["key"], "")

    def test_nested_options(self):
        parent = self.manager.start_call("ask", {"text": "t"})
        nested = self.manager.receive()
        id = nested.header.pop("id")
        self.assertEqual(nested.header, {
            "parent": parent, "function": "linkage", "timeout_ms": 250, "key": "user-7",
            "class": "low", "idempotent": True,
            "details": {"kind": "parse", "grammar": "5.12.0", "tags": ["en"]}})
        self.manager.send("B", {"id": id, "code": "deadline", "message": "too slow"})
        self.assert_error(self.manager.receive(), "deadline: too slow", "katamari::CallError")

    def test_bad_nested_options_are_errors_of_the_call(self):
        text = "of at most 200 bytes"
        for options, message in (
            ({"class": "urgent"}, "a class is high, normal or low, not `urgent`"),
            ({"key": "k" * 1025}, "a key has at most 1024 bytes"),
            ({"details": ["en"]}, "details are an object, not array"),
            ({"details": {"tags": "en"}}, f"`tags` is an array of at most 32 strings {text}"),
            ({"details": {"tags": [1]}}, f"`tags` is an array of at most 32 strings {text}"),
            ({"details": {"roles": ["r"] * 33}},
             f"`roles` is an array of at most 32 strings {text}"),
            ({"details": {"grammar": 5}}, f"`grammar` among details is a string {text}"),
            ({"details": {"grammar": "5" * 201}}, f"`grammar` among details is a string {text}"),
            ({"details": {"g" * 201: "5"}}, f"the names of details are strings {text}"),
            ({"details": {f"g{n}": "5" for n in range(33)}}, "more than 32 details"),
        ):
            with self.subTest(options=options):
                self.assert_error(self.manager.call("ask_with", [options]), message,
                                  "std::invalid_argument")

    def test_nested_bytes(self):
        self.manager.start_call("shrink", payload=b"\xff\xd8", content_type="image/jpeg")
        nested = self.manager.receive()
        self.assertEqual(nested.header["content_type"], "image/jpeg")
        self.assertEqual(nested.payload, b"\xff\xd8")
        self.manager.send("A", {"id": nested.header["id"], "content_type": "image/gif"}, b"GIF\0")
        answer = self.manager.receive()
        self.assertEqual((answer.header["content_type"], answer.payload), ("image/gif", b"GIF\0"))

    def test_streamed_bytes(self):
        self.manager.start_call("pieces", [[1, 70_000]])
        frames = [self.manager.receive() for _ in range(3)]
        self.assertEqual([frame.type for frame in frames], ["S", "S", "R"])
        self.assertEqual(frames[1].header["content_type"], "application/octet-stream")
        self.assertEqual(len(frames[1].payload), 70_000)
        self.assertEqual(frames[2].value, 2)


class Slots(ChassisTest):
    command = features(slots=4)

    def test_announced(self):
        self.assertEqual(self.hello["slots"], 4)

    def test_as_many_as_the_protocol_allows(self):
        for slots in (0, 1025):
            done = subprocess.run(features(slots), capture_output=True, text=True, timeout=20,
                                  stdin=subprocess.DEVNULL)
            self.assertLess(done.returncode, 0, "it threw")
            self.assertIn(f"expected 1 to 1024 slots, got {slots}", done.stderr)

    def test_calls_run_at_once(self):
        # None of them ends before all four have begun.
        ids = {self.manager.start_call("meet", [4]) for _ in range(4)}
        self.assertEqual({self.manager.receive().header["id"] for _ in range(4)}, ids)

    def test_pings_and_answers_while_busy(self):
        waiting = self.manager.start_call("meet", [2])
        self.assert_alive()
        asking = self.manager.start_call("ask", ["t"])
        nested = self.manager.receive()
        self.assertEqual(self.manager.result("half", [4]), 2)
        self.manager.send("A", {"id": nested.header["id"]}, b'"parsed"')
        answer = self.manager.receive()
        self.assertEqual((answer.header["id"], answer.value), (asking, "parsed"))
        other = self.manager.start_call("meet", [2])
        self.assertEqual({self.manager.receive().header["id"] for _ in range(2)}, {waiting, other})

    def test_answers_reach_the_one_who_asked(self):
        for _ in range(100):
            calls = {self.manager.start_call("ask", [str(n)]): str(n) for n in range(4)}
            asked = [self.manager.receive() for _ in range(4)]
            for nested in reversed(asked):
                self.manager.send("A", {"id": nested.header["id"]}, nested.payload)
            for _ in range(4):
                answer = self.manager.receive()
                self.assertEqual(answer.value, {"text": calls.pop(answer.header["id"])})

    def test_large_frames_are_not_interleaved(self):
        for round in range(20):
            ids = {self.manager.start_call("huge", [300_000 + n]): 300_000 + n for n in range(4)}
            for _ in range(4):
                answer = self.manager.receive()
                self.assertEqual(len(answer.value), ids.pop(answer.header["id"]))

    def test_quit_finishes_all_calls(self):
        ids = {self.manager.start_call("meet", [4]) for _ in range(4)}
        self.manager.send("Q")
        self.assertEqual({self.manager.receive().header["id"] for _ in range(4)}, ids)
        self.assertEqual(self.manager.wait(), 0)

    def test_end_while_idle(self):
        self.manager.hang_up()
        self.assertEqual(self.manager.wait(), 0)

    def test_last_leaves_no_call_behind(self):
        for _ in range(20):
            manager = self.start(self.command)
            manager.introduce()
            self.assertIs(manager.call("last_fail").header["last"], True)
            # The manager wrote these before it read that answer.
            self.assertEqual([manager.result("half", [n]) for n in (2, 4, 6)], [1, 2, 3])
            manager.send("Q")
            self.assertEqual(manager.wait(), 0)

    def test_last_ends_with_descriptor_3(self):
        self.assertIs(self.manager.call("last_fail").header["last"], True)
        self.manager.hang_up()
        self.assertEqual(self.manager.wait(), 0)


if __name__ == "__main__":
    unittest.main()
