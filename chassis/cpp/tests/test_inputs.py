"""Streamed requests and their credit, with one slot and with several."""

import hashlib
import unittest

from chassis_test import CONFORMANCE, ChassisTest, features

CREDIT = 4096


class Inputs:
    def setUp(self):
        self.manager = self.start(self.command)
        self.hello = self.manager.introduce(stream_credit=CREDIT)

    def begin(self, function, arguments=None):
        return self.manager.start_call(function, arguments, input=True)

    def give(self, call, piece, end=False):
        self.manager.send("I", {"id": call, "end": True} if end else {"id": call}, piece)

    def granted(self, call):
        frame = self.manager.receive()
        self.assertEqual((frame.type, frame.header["id"]), ("G", call), frame)
        return frame.header["bytes"]

    def end(self, call):
        """The frame that ends the call; grants before it are of no interest."""
        while (frame := self.manager.receive()).type == "G":
            pass
        self.assertEqual(frame.header["id"], call)
        return frame

    def test_announced(self):
        functions = {function["name"]: function for function in self.hello["functions"]}
        self.assertIs(functions["parts"]["input"], True)
        self.assertIs(functions["repeat"]["input"], True)
        self.assertNotIn("input", functions["half"])
        self.assertEqual([p["name"] for p in functions["parts"]["parameters"]], ["sizes"])

    def test_the_first_read_grants_and_later_ones_give_back(self):
        call = self.begin("repeat")
        self.assertEqual(self.granted(call), CREDIT)
        size = CREDIT // 16
        for _ in range(3):
            for letter in b"ab":
                self.give(call, bytes([letter]) * size)
                self.assertEqual(self.manager.receive().payload, bytes([letter]) * size)
                self.manager.send("F", {"id": call, "bytes": size})
            # An eighth of the credit is used, and back when the next piece is asked for.
            self.assertEqual(self.granted(call), 2 * size)
        self.give(call, b"", end=True)
        self.assertEqual(self.end(call).type, "R")

    def test_nothing_is_granted_after_the_end(self):
        call = self.begin("parts", [[CREDIT, 1]])
        self.assertEqual(self.granted(call), CREDIT)
        self.give(call, b"x" * CREDIT, end=True)
        frame = self.manager.receive()
        self.assertEqual((frame.type, frame.value), ("R", ["x" * CREDIT, ""]))

    def test_reads_of_any_size(self):
        call = self.begin("parts", [[3, 0, 4, 100]])
        for piece in (b"ab", b"cdefg", b"h"):
            self.give(call, piece)
        self.give(call, b"", end=True)
        self.assertEqual(self.end(call).value, ["abc", "", "defg", "h"])
        call = self.begin("file")
        self.manager.send("I", {"id": call, "content_type": "text/csv"}, b"abcdefg")
        self.give(call, b"hi", end=True)
        self.assertEqual(self.end(call).value, ["abcd", "efghi", 0, "text/csv"])

    def test_a_call_may_end_before_its_input(self):
        call = self.begin("parts", [[2]])
        self.give(call, b"abc")
        self.assertEqual(self.end(call).value, ["ab"])
        self.give(call, b"def")  # it crosses the answer
        self.give(call, b"", end=True)
        unread = self.begin("parts", [[]])
        self.assertEqual(self.manager.receive().value, [])
        self.give(unread, b"abc")
        last = self.begin("parts", [[10]])
        self.give(last, b"own", end=True)
        self.assertEqual(self.end(last).value, ["own"])

    def test_without_an_input_there_is_an_empty_one(self):
        self.assertEqual(self.manager.result("parts", [[5]]), [""])
        self.assertEqual(self.manager.result("file"), ["", "", 0, ""])

    def test_cancel_while_it_waits(self):
        call = self.begin("why")
        self.assertEqual(self.granted(call), CREDIT)
        self.give(call, b"abc")
        self.manager.send("X", {"id": call, "reason": "client_left"})
        self.assert_error(self.end(call), "client_left")
        self.assert_alive()

    def test_the_end_of_descriptor_3_while_it_waits(self):
        call = self.begin("why")
        self.assertEqual(self.granted(call), CREDIT)
        self.manager.hang_up()
        self.assert_error(self.end(call), "shutdown")
        self.assertEqual(self.manager.wait(), 0)

    def test_a_quit_lets_it_read_to_the_end(self):
        call = self.begin("parts", [[10]])
        self.assertEqual(self.granted(call), CREDIT)
        self.manager.send("Q")
        self.give(call, b"abc", end=True)
        self.assertEqual(self.end(call).value, ["abc"])
        self.assertEqual(self.manager.wait(), 0)

    def test_it_may_call_the_cluster_in_between(self):
        call = self.begin("ask_between")
        self.assertEqual(self.granted(call), CREDIT)
        self.give(call, b"first")
        nested = self.manager.receive()
        self.assertEqual((nested.type, nested.value), ("N", {"text": "first"}))
        self.give(call, b"re")
        self.give(call, b"st", end=True)
        self.manager.send("A", {"id": nested.header["id"]}, b"1")
        self.assertEqual(self.end(call).value, [1, "rest", True])

    def test_pings_are_answered_while_it_waits(self):
        call = self.begin("parts", [[10]])
        self.assertEqual(self.granted(call), CREDIT)
        self.assert_alive()


class OneSlot(Inputs, ChassisTest):
    command = features()


class ManySlots(Inputs, ChassisTest):
    command = features(slots=4)

    def test_each_call_gets_its_own(self):
        calls = [self.begin("parts", [[1000]]) for _ in range(4)]
        for _ in calls:
            self.assertEqual(self.manager.receive().type, "G")
        for number in range(20):
            for call in calls:
                self.give(call, b"%d,%d " % (call, number))
        for call in reversed(calls):
            self.give(call, b"", end=True)
            expected = "".join(f"{call},{number} " for number in range(20))
            self.assertEqual(self.end(call).value, [expected])

    def test_a_cancel_concerns_one(self):
        calls = [self.begin("why") for _ in range(2)]
        for _ in calls:
            self.assertEqual(self.manager.receive().type, "G")
        self.manager.send("X", {"id": calls[0], "reason": "client_left"})
        self.assert_error(self.end(calls[0]), "client_left")
        self.give(calls[1], b"abc", end=True)
        self.assertEqual(self.end(calls[1]).type, "R")


class Measure(ChassisTest):
    command = CONFORMANCE

    def test_it_hashes_what_comes(self):
        # Lengths on both sides of where the hash's padding takes another block.
        for size in (0, 1, 55, 56, 63, 64, 65, 200_000):
            data = bytes(n * n % 251 for n in range(size))
            call = self.manager.start_call("measure", input=True)
            for start in range(0, size, 65536):
                self.manager.send("I", {"id": call}, data[start:start + 65536])
            self.manager.send("I", {"id": call, "end": True})
            while (frame := self.manager.receive()).type == "G":
                pass
            self.assertEqual(frame.value, {"bytes": size,
                                           "sha256": hashlib.sha256(data).hexdigest()})


if __name__ == "__main__":
    unittest.main()
