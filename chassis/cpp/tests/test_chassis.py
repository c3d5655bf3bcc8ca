"""Drives the conformance worker of the C++ chassis over real pipes."""

import os
import subprocess
import unittest

from chassis_test import CONFORMANCE, ChassisTest, features


class Interrogation(ChassisTest):
    def test_hello_describes_the_worker(self):
        self.assertEqual(self.hello["kind"], "conformance")
        self.assertEqual(self.hello["versions"], {"chassis": "cpp"})
        self.assertEqual(self.hello["tags"], ["conformance"])
        self.assertEqual(self.hello["roles"], [])
        self.assertEqual(self.hello["slots"], 1)
        names = [function["name"] for function in self.hello["functions"]]
        self.assertEqual(names, ["echo", "add", "fail", "sleep", "remaining", "count", "measure",
                                 "nested", "last", "print", "leak"])

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
        self.assertEqual(functions["half"]["examples"], [
            {"arguments": {"number": 4}, "result": 2}, {"arguments": [3], "result": None},
            {"arguments": {"number": 5}}])
        self.assertNotIn("examples", functions["types"])

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


if __name__ == "__main__":
    unittest.main()
