"""Payloads and frames, without a process."""

import dataclasses
import json
import os
import sys
import unittest
from typing import Any
from unittest import mock

from fake_manager import PACKAGE, pack

sys.path.insert(0, PACKAGE)

from katamari import frames, values  # noqa: E402


@dataclasses.dataclass
class Pair:
    left: Any
    right: Any


class Json(unittest.TestCase):
    def test_scanning(self) -> None:
        for text in ("{}", " [1, 2.5]\n", '"\u00e9"', "null", "0"):
            self.assertEqual(values.scan_json(text.encode()), json.loads(text))

    def test_scanning_what_is_not_json(self) -> None:
        for data in (b"", b" ", b"{} x", b"[1", b"NaN", b"[-Infinity]", b'"\xff"'):
            with self.subTest(data=data), self.assertRaises(ValueError):
                values.scan_json(data)

    def test_both_ways_to_encode_agree(self) -> None:
        with mock.patch.object(json.encoder, "c_make_encoder", None):
            without_c = values._make_dump()
        for dump in (values.dump_json, without_c):
            given = {"a": [1, None, "\u00e9\n"], "b": Pair(1, Pair(2.5, True)), "c": {}}
            self.assertEqual(
                dump(given),
                '{"a":[1,null,"\u00e9\\n"],'
                '"b":{"left":1,"right":{"left":2.5,"right":true}},"c":{}}',
            )
            for bad in (float("nan"), [float("-inf")], object(), {1, 2}, Pair):
                with self.subTest(bad=bad), self.assertRaises((TypeError, ValueError)):
                    dump(bad)

    def test_an_error_in_the_middle_leaves_nothing_behind(self) -> None:
        inner = {"a": 1}
        with self.assertRaises(TypeError):
            values.dump_json([inner, object()])
        self.assertEqual(values.dump_json([inner, inner]), '[{"a":1},{"a":1}]')


class Payloads(unittest.TestCase):
    def test_bytes_of_any_sort(self) -> None:
        for data in (b"ab", bytearray(b"ab"), memoryview(b"ab")):
            payload = values.Payload(data, "a/b")
            self.assertEqual(values.encode(payload), (b"ab", "a/b"))

    def test_what_is_no_payload(self) -> None:
        for data, content_type in (
            ("text", "a/b"),
            (3, "a/b"),  # `bytes(3)` would be three zeros
            (None, "a/b"),
            (b"", None),
            (b"", b"a/b"),
            (b"", ""),
        ):
            with self.subTest(data=data, content_type=content_type):
                with self.assertRaises((TypeError, ValueError)):
                    values.Payload(data, content_type)


class Reading(unittest.TestCase):
    def test_an_exception_in_the_middle_of_a_frame_loses_nothing(self) -> None:
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        reader = frames.FrameReader(read)
        frame = pack("A", {"id": 1}, b"[1,2]")
        real = os.read
        for cuts in ((3,), (9,), (3, 9), (2, 8, len(frame) - 1)):
            with self.subTest(cuts=cuts):
                at = 0
                for cut in cuts:
                    os.write(write, frame[at:cut])
                    at = cut
                    reads = [lambda fd, size: real(fd, size), self.interrupt]
                    with mock.patch("os.read", lambda *args: reads.pop(0)(*args)):
                        with self.assertRaises(TimeoutError):
                            reader.next()
                os.write(write, frame[at:])
                self.assertEqual(reader.next(), (ord("A"), {"id": 1}, b"[1,2]"))

    @staticmethod
    def interrupt(*_: Any) -> bytes:
        """What a read does when a signal's handler raises."""
        raise TimeoutError


class Writing(unittest.TestCase):
    def test_a_write_that_takes_little_at_a_time(self) -> None:
        read, write = os.pipe()
        self.addCleanup(os.close, read)
        self.addCleanup(os.close, write)
        real = os.write
        with mock.patch("os.write", lambda fd, data: real(fd, data[:3])):
            frames.write_all(write, b"0123456789")
        self.assertEqual(os.read(read, 100), b"0123456789")
