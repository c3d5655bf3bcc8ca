"""Drives workers written with the C++ chassis over real pipes.

BUILD names the folder with the binaries `conformance` and `features`; `make test` sets it.
"""

import os
import pathlib
import subprocess
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


class Interrogation(ChassisTest):
    def test_hello_describes_the_worker(self):
        self.assertEqual(self.hello["kind"], "conformance")
        self.assertEqual(self.hello["versions"], {"chassis": "cpp"})
        self.assertEqual(self.hello["tags"], ["conformance"])
        self.assertEqual(self.hello["roles"], [])
        self.assertEqual(self.hello["slots"], 1)
        names = [function["name"] for function in self.hello["functions"]]
        self.assertEqual(names, ["echo", "add", "fail", "sleep", "remaining", "count", "nested",
                                 "last", "print", "leak"])

    def test_hello_describes_functions(self):
        functions = {function["name"]: function for function in self.hello["functions"]}
        self.assertEqual(functions["add"], {
            "name": "add", "doc": "Adds.", "idempotent": True, "stream": False,
            "parameters": [{"name": "a", "type": "integer"}, {"name": "b", "type": "integer"},
                           {"name": "c", "type": "integer", "required": False}],
            "result": "integer"})
        self.assertTrue(functions["count"]["stream"])
        self.assertFalse(functions["fail"]["idempotent"])
        self.assertEqual(functions["echo"]["parameters"], [{"name": "value", "type": "any"}])
        self.assertEqual(functions["nested"]["parameters"][2]["type"], "object")

    def test_hello_names_every_type(self):
        hello = self.start(features()).introduce()
        self.assertEqual(hello["roles"], ["test"])
        functions = {function["name"]: function for function in hello["functions"]}
        types = functions["types"]["parameters"]
        self.assertEqual([parameter["type"] for parameter in types],
                         ["string", "integer", "integer", "number", "boolean", "[[integer]]",
                          "{integer?}", "any", "string"])
        self.assertEqual(types[0]["doc"], "some text")
        self.assertEqual(functions["reverse"]["parameters"][0]["type"], "bytes")
        self.assertEqual(functions["reverse"]["result"], "bytes")
        self.assertEqual(functions["half"]["result"], "integer?")

    def test_started_by_hand(self):
        done = subprocess.run(CONFORMANCE, capture_output=True, text=True, timeout=20,
                              stdin=subprocess.DEVNULL)
        self.assertEqual(done.returncode, 64)
        self.assertIn("katamari check", done.stderr)

    def test_other_protocol(self):
        manager = self.start(CONFORMANCE, protocol="2,lines")
        self.assertIsNone(manager.receive())
        self.assertEqual(manager.wait(), 64)
        self.assertIn("`2,lines`", manager.printed())
        done = subprocess.run(CONFORMANCE, capture_output=True, text=True, timeout=20,
                              env={"KATAMARI_PROTOCOL": "lines"})
        self.assertEqual(done.returncode, 64, "without descriptors 3 and 4 too")

    def test_picks_its_version_of_several(self):
        self.start(CONFORMANCE, protocol="1,2").introduce()

    def test_refused_before_welcome(self):
        manager = self.start(CONFORMANCE)
        manager.receive()
        manager.hang_up()
        self.assertEqual(manager.wait(), 0)


class Calls(ChassisTest):
    def test_by_name_and_by_position(self):
        self.assertEqual(self.manager.result("add", {"b": 2, "a": 1}), 3)
        self.assertEqual(self.manager.result("add", [1, 2, 4]), 7)
        self.assertEqual(self.manager.result("add", [1, 2, None]), 3)
        self.assertEqual(self.manager.result("add", [1, 2], content_type="application/json"), 3)

    def test_values_survive(self):
        for value in (None, True, 0, -1, 2**53, 2**64 - 1, -(2**63), 1.5, "", "é\u0000\n\"", [],
                      {}, [[{"a": [None]}]], "x" * 3_000_000):
            self.assertEqual(self.manager.result("echo", {"value": value}), value)

    def test_many_calls(self):
        for number in range(2000):
            self.assertEqual(self.manager.result("echo", [number]), number)

    def test_wrong_arguments(self):
        for arguments, message in (
            ({"a": 1, "b": "2"}, "parameter `b`: expected integer, came string"),
            ({"a": 1.5, "b": 2}, "parameter `a`: expected integer, came the number 1.5"),
            ({"a": None, "b": 2}, "parameter `a`: expected integer, came null"),
            ({"a": True, "b": 2}, "parameter `a`: expected integer, came boolean"),
            ({"a": 1}, "parameter `b` is missing"),
            ({"a": 1, "b": 2, "d": 3}, "there is no parameter `d`"),
            ([1, 2, 3, 4], "expected at most 3 arguments, came 4"),
            (7, "arguments: expected object or array, came the number 7"),
        ):
            with self.subTest(arguments=arguments):
                self.assert_error(self.manager.call("add", arguments), message,
                                  "katamari::ArgumentError")
        self.assertEqual(self.manager.result("add", [1, 2]), 3)

    def test_broken_json(self):
        answer = self.manager.call("echo", payload=b'{"value": ')
        self.assertEqual(answer.type, "E")
        self.assertIn("the arguments are not JSON", answer.header["message"])
        answer = self.manager.call("echo", payload=b'{"value": "\xff"}')
        self.assertIn("the arguments are not JSON", answer.header["message"])
        answer = self.manager.call("echo", payload=b"[" * 1_000_000)
        self.assertIn("nested more than 512 deep", answer.header["message"])
        self.assert_alive()

    def test_unknown_function(self):
        self.assert_error(self.manager.call("nope"), "there is no function `nope`")

    def test_failing_function(self):
        answer = self.manager.call("fail", {"message": "ouch é"})
        self.assert_error(answer, "ouch é", "std::runtime_error")
        self.assertEqual(answer.payload, b"")
        self.assertEqual(self.manager.call("fail", {"message": "x" * 100_000}).type, "E")
        self.assert_alive()

    def test_remaining(self):
        remaining = self.manager.result("remaining", timeout_ms=60_000)
        self.assertLessEqual(remaining, 60_000)
        self.assertGreater(remaining, 40_000)
        self.assertEqual(self.manager.result("remaining", timeout_ms=0), 0)
        self.assertGreater(self.manager.result("remaining", timeout_ms=2**53 - 1), 10**11)

    def test_prints_do_not_break_the_protocol(self):
        self.assertIsNone(self.manager.result("print", {"text": "a stray line"}))
        self.assertEqual(self.manager.printed().count("a stray line\n"), 2)

    def test_children_do_not_inherit_the_descriptors(self):
        self.assertIs(self.manager.result("leak"), True)

    def test_cancel(self):
        id = self.manager.start_call("sleep", {"ms": 60_000})
        self.manager.send("X", {"id": id, "reason": "client_left"})
        self.assert_error(self.manager.receive(), "cancelled", "katamari::Cancelled")
        self.assertEqual(self.manager.result("sleep", {"ms": 1}), "slept")

    def test_late_and_unknown_cancels_are_ignored(self):
        id = self.manager.start_call("echo", [1])
        self.assertEqual(self.manager.receive().value, 1)
        self.manager.send("X", {"id": id, "reason": "deadline"})
        self.manager.send("X", {"id": 999, "reason": "deadline"})
        self.manager.send("F", {"id": id, "bytes": 10})
        self.assertEqual(self.manager.result("echo", [2]), 2)

    def test_unknown_header_keys_are_ignored(self):
        self.assertEqual(self.manager.result("echo", [1], novelty={"a": 1}), 1)


class Streams(ChassisTest):
    def test_pieces_and_no_last_value(self):
        id = self.manager.start_call("count", {"to": 3, "size": 0})
        pieces = [self.manager.receive() for _ in range(4)]
        self.assertEqual([piece.type for piece in pieces], ["S", "S", "S", "R"])
        self.assertEqual([piece.value for piece in pieces[:3]], [1, 2, 3])
        self.assertEqual({piece.header["id"] for piece in pieces}, {id})
        self.assertEqual(pieces[3].payload, b"")

    def test_waits_for_credit(self):
        manager = self.start(CONFORMANCE)
        manager.introduce(stream_credit=1000)
        # Each piece is 402 bytes with its quotes: the third is larger than what is left.
        id = manager.start_call("count", {"to": 5, "size": 400})
        self.assertEqual([manager.receive().type for _ in range(3)], ["S"] * 3)
        self.assertTrue(manager.silent())
        manager.send("F", {"id": id, "bytes": 206})  # exactly zero: still not enough
        self.assertTrue(manager.silent())
        manager.send("F", {"id": id, "bytes": 1})
        self.assertEqual(manager.receive().type, "S")
        self.assertTrue(manager.silent())
        manager.send("P")  # whoever waits for credit reads
        self.assertEqual(manager.receive().type, "O")
        manager.send("F", {"id": id, "bytes": 1000})
        self.assertEqual([manager.receive().type for _ in range(2)], ["S", "R"])

    def test_a_last_value_waits_for_credit(self):
        manager = self.start(features(1))
        manager.introduce(stream_credit=100)
        id = manager.start_call("pieces", [[100]])
        self.assertEqual(manager.receive().type, "S")
        self.assertTrue(manager.silent())
        manager.send("F", {"id": id, "bytes": 1})
        frame = manager.receive()
        self.assertEqual((frame.type, frame.value), ("R", 1))

    def test_cancel_while_waiting_for_credit(self):
        manager = self.start(CONFORMANCE)
        manager.introduce(stream_credit=100)
        id = manager.start_call("count", {"to": 1000, "size": 200})
        self.assertEqual(manager.receive().type, "S")
        self.assertTrue(manager.silent())
        manager.send("X", {"id": id, "reason": "client_left"})
        self.assert_error(manager.receive(), "cancelled")
        self.assertEqual(manager.result("echo", [1]), 1)

    def test_cancel_while_credit_lasts(self):
        id = self.manager.start_call("count", {"to": 10**9, "size": 0})
        self.assertEqual(self.manager.receive().type, "S")
        self.manager.send("F", {"id": id, "bytes": 10**12})
        self.manager.send("X", {"id": id, "reason": "client_left"})
        while (frame := self.manager.receive()).type == "S":
            pass
        self.assert_error(frame, "cancelled")

    def test_manager_gone_while_waiting_for_credit(self):
        manager = self.start(CONFORMANCE)
        manager.introduce(stream_credit=100)
        manager.start_call("count", {"to": 1000, "size": 200})
        self.assertEqual(manager.receive().type, "S")
        manager.hang_up()
        self.assertEqual(manager.receive().type, "E")
        self.assertEqual(manager.wait(), 0)


class NestedCalls(ChassisTest):
    ARGUMENTS = {"kind": "parse", "function": "linkage", "arguments": {"text": "hi"}}

    def test_answer(self):
        parent = self.manager.start_call("nested", self.ARGUMENTS)
        nested = self.manager.receive()
        self.assertEqual(nested.type, "N")
        id = nested.header.pop("id")
        self.assertEqual(nested.header, {"parent": parent, "details": {"kind": "parse"},
                                         "function": "linkage"})
        self.assertEqual(nested.value, {"text": "hi"})
        self.manager.send("A", {"id": id}, b"[1]")
        self.assertEqual(self.manager.receive().value, {"result": [1]})

    def test_error(self):
        self.manager.start_call("nested", self.ARGUMENTS)
        id = self.manager.receive().header["id"]
        self.manager.send("B", {"id": id, "code": "not_allowed", "message": "no"})
        self.assertEqual(self.manager.receive().value, {"error": "not_allowed"})

    def test_ping_while_waiting(self):
        self.manager.start_call("nested", self.ARGUMENTS)
        id = self.manager.receive().header["id"]
        self.assert_alive()
        self.manager.send("A", {"id": id}, b"null")
        self.assertEqual(self.manager.receive().value, {"result": None})

    def test_late_answer_is_ignored(self):
        self.manager.start_call("nested", self.ARGUMENTS)
        id = self.manager.receive().header["id"]
        self.manager.send("A", {"id": id}, b"1")
        self.manager.receive()
        self.manager.send("A", {"id": id}, b"2")
        self.assertEqual(self.manager.result("echo", [3]), 3)

    def test_ids_in_flight_differ(self):
        ids = set()
        for _ in range(3):
            self.manager.start_call("nested", self.ARGUMENTS)
            ids.add(id := self.manager.receive().header["id"])
            self.manager.send("A", {"id": id}, b"1")
            self.manager.receive()
        self.assertEqual(len(ids), 3)

    def test_manager_gone(self):
        self.manager.start_call("nested", self.ARGUMENTS)
        self.manager.receive()
        self.manager.hang_up()
        self.assertEqual(self.manager.receive().value, {"error": "stopping"})
        self.assertEqual(self.manager.wait(), 0)


class TheEnd(ChassisTest):
    def test_quit_when_idle(self):
        self.manager.send("Q")
        self.assertIsNone(self.manager.receive())
        self.assertEqual(self.manager.wait(), 0)

    def test_end_of_descriptor_3(self):
        self.manager.hang_up()
        self.assertEqual(self.manager.wait(), 0)

    def test_quit_finishes_the_call(self):
        self.manager.start_call("sleep", {"ms": 100})
        self.manager.send("Q")
        self.assertEqual(self.manager.receive().value, "slept")
        self.assertEqual(self.manager.wait(), 0)

    def test_quit_finishes_a_call_that_needs_answers(self):
        self.manager.start_call("nested", NestedCalls.ARGUMENTS)
        id = self.manager.receive().header["id"]
        self.manager.send("Q")
        self.manager.send("A", {"id": id}, b"1")
        self.assertEqual(self.manager.receive().value, {"result": 1})
        self.assertEqual(self.manager.wait(), 0)

    def test_end_of_descriptor_3_finishes_the_call(self):
        self.manager.start_call("sleep", {"ms": 100})
        self.manager.hang_up()
        self.assertEqual(self.manager.receive().value, "slept")
        self.assertEqual(self.manager.wait(), 0)

    def test_last_answer(self):
        answer = self.manager.call("last", [{"a": 1}])
        self.assertEqual((answer.value, answer.header["last"]), ({"a": 1}, True))
        self.assertEqual(self.manager.wait(), 0)

    def test_last_error(self):
        manager = self.start(features())
        manager.introduce()
        answer = manager.call("last_fail")
        self.assert_error(answer, "worn out")
        self.assertIs(answer.header["last"], True)
        self.assertEqual(manager.wait(), 0)

    def test_protocol_broken_by_the_manager(self):
        for breach in (lambda m: m.send("Z"),
                       lambda m: os.write(m.to_worker, b"\xff\xff\xff\xff"),
                       lambda m: os.write(m.to_worker, b"\0\0\0\x05C\0\x02[]"),
                       lambda m: m.send("C", {"function": "echo"})):
            manager = self.start(CONFORMANCE)
            manager.introduce()
            breach(manager)
            self.assertEqual(manager.wait(), 76)
            self.assertIn("katamari: the manager sent", manager.printed())


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
