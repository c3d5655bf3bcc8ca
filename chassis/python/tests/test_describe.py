"""Descriptions: type hints, docs, and what the protocol does not allow."""

import collections.abc
import dataclasses
import enum
import math
import sys
import typing
import unittest
from typing import Annotated, Any, Dict, Iterator, List, Optional, Union

from fake_manager import PACKAGE

sys.path.insert(0, PACKAGE)

from katamari import DescriptionError, Payload, Worker  # noqa: E402
from katamari.describe import Function  # noqa: E402
from katamari.hints import type_name  # noqa: E402
from katamari.options import check_options  # noqa: E402


@dataclasses.dataclass
class Place:
    name: str


class Row(typing.TypedDict):
    name: str


class Colour(str, enum.Enum):
    RED = "red"


UserId = typing.NewType("UserId", int)


class Types(unittest.TestCase):
    def test_hints(self) -> None:
        for hint, expected in (
            (str, "string"),
            (int, "integer"),
            (float, "number"),
            (bool, "boolean"),
            (bytes, "bytes"),
            (Payload, "bytes"),
            (Any, "any"),
            (object, "any"),
            (None, "any"),
            (list, "[any]"),
            (List[str], "[string]"),
            (list[int], "[integer]"),
            (tuple[float, ...], "[number]"),
            (tuple[int, str], "[any]"),
            (set[str], "[string]"),
            (collections.abc.Sequence[str], "[string]"),
            (dict, "object"),
            (Dict[str, Any], "object"),
            (dict[str, list[int]], "{[integer]}"),
            (collections.abc.Mapping[str, int], "{integer}"),
            (Optional[str], "string?"),
            (Optional[List[Optional[int]]], "[integer?]?"),
            (Optional[Any], "any"),
            (Union[int, str], "any"),
            (Union[int, str, None], "any"),
            (Row, "object"),
            (Place, "object"),
            (list[Place], "[object]"),
            (Colour, "string"),
            (UserId, "integer"),
            (typing.Literal["a", "b"], "string"),
            (typing.Literal["a", 1], "any"),
            (Annotated[int, "a doc"], "integer"),
            (typing.TypeVar("T"), "any"),
            (typing.Callable[[], int], "any"),
        ):
            with self.subTest(hint=hint):
                self.assertEqual(type_name(hint), expected)

    @unittest.skipIf(sys.version_info < (3, 10), "its syntax came with Python 3.10")
    def test_the_newer_way_to_write_optional(self) -> None:
        self.assertEqual(type_name(eval("list[int | None] | None")), "[integer?]?")

    def test_nesting_has_a_limit(self) -> None:
        hint: Any = int
        for _ in range(8):
            hint = Optional[List[Dict[str, hint]]]
        self.assertEqual(type_name(hint), "[{" * 8 + "integer" + "}]?" * 8)
        with self.assertRaises(DescriptionError):
            type_name(List[hint])

    def test_words_without_brackets_are_no_level(self) -> None:
        for inner, expected in ((Dict[str, Any], "object"), (list, None)):
            hint: Any = inner
            for _ in range(16):
                hint = List[hint]
            with self.subTest(inner):
                if expected is None:  # it is written `[any]`
                    with self.assertRaises(DescriptionError):
                        type_name(hint)
                else:
                    self.assertEqual(type_name(hint), "[" * 16 + expected + "]" * 16)


class Functions(unittest.TestCase):
    def test_parameters_docs_and_result(self) -> None:
        def find(
            text: Annotated[str, "the sentence"], limit: int = 5, untyped=None
        ) -> Dict[str, float]:
            """Finds.

            At length.
            """
            raise NotImplementedError

        self.assertEqual(
            Function(find, idempotent=True).description,
            {
                "name": "find",
                "doc": "Finds.\n\nAt length.",
                "idempotent": True,
                "stream": False,
                "parameters": [
                    {"name": "text", "type": "string", "doc": "the sentence"},
                    {"name": "limit", "type": "integer", "required": False},
                    {"name": "untyped", "type": "any", "required": False},
                ],
                "result": "{number}",
            },
        )

    def test_examples_are_announced(self) -> None:
        def find(text: str, limit: int = 5) -> List[str]:
            raise NotImplementedError

        examples = [({"text": "a"}, ["b"]), (["a", 1],), [["a"], None]]
        self.assertEqual(
            Function(find, examples=examples).description["examples"],
            [
                {"arguments": {"text": "a"}, "result": ["b"]},
                {"arguments": ["a", 1]},
                {"arguments": ["a"], "result": None},
            ],
        )
        self.assertNotIn("examples", Function(find).description)

    def test_bad_examples_are_told(self) -> None:
        def find(text: str) -> str:
            raise NotImplementedError

        for example in (
            {"text": "a"},
            ("a", "b"),
            (["a"], "b", "c"),
            ({"txt": "a"},),
            (["a"], math.nan),
            (["a"], {1, 2}),
            (["a" * 16 * 1024],),
        ):
            with self.subTest(example), self.assertRaises(DescriptionError):
                Function(find, examples=[example])
        with self.assertRaises(DescriptionError):
            Function(find, examples=[(["a"],)] * 11)

    def test_streams_announce_the_type_of_a_piece(self) -> None:
        def words(text: str) -> Iterator[str]:
            yield text

        def bare(text):
            yield text

        description = Function(words).description
        self.assertEqual(
            (description["stream"], description["result"]), (True, "string")
        )
        self.assertEqual(Function(bare).description["result"], "any")

    def test_a_hint_that_cannot_be_resolved_is_any(self) -> None:
        def hinted(a: Any, b: "int") -> None:
            raise NotImplementedError

        hinted.__annotations__["a"] = "Missing"
        parameters = Function(hinted).description["parameters"]
        self.assertEqual([p["type"] for p in parameters], ["any", "integer"])

    def test_methods(self) -> None:
        class Model:
            def predict(self, text: str) -> int:
                return len(text)

        function = Function(Model().predict)
        self.assertEqual(function.parameters, ["text"])
        self.assertEqual(function.run(text="abc"), 3)

    def test_the_decorator_leaves_the_function_as_it_is(self) -> None:
        def double(number: int) -> int:
            return number * 2

        worker = Worker("k")
        self.assertIs(worker.function(double), double)
        self.assertIs(worker.function(name="other")(double), double)


class Refusals(unittest.TestCase):
    def refuse(self, what: str, *arguments: Any, **options: Any) -> None:
        with self.assertRaisesRegex(DescriptionError, what):
            Worker(*arguments, **options)

    def test_workers(self) -> None:
        self.refuse("kind", "")
        self.refuse("kind", "a.b")
        self.refuse("kind", "k" * 101)
        self.refuse("tags", "k", tags="en")
        self.refuse("tags", "k", tags=["a b"])
        self.refuse("33 roles", "k", roles=[f"r{n}" for n in range(33)])
        self.refuse("means something else", "k", versions={"tags": "1"})
        self.refuse("expected a string", "k", versions={"a": 1})
        self.refuse("200 bytes", "k", versions={"a": "\u00e9" * 101})
        self.refuse("slots", "k", slots=0)
        self.refuse("slots", "k", slots=1025)
        self.refuse("slots", "k", slots=True)

    def test_functions(self) -> None:
        def variable(*values: int) -> None:
            raise NotImplementedError

        def keywords(**values: int) -> None:
            raise NotImplementedError

        def nameless(value: int, /) -> None:
            raise NotImplementedError

        def long() -> None:
            raise NotImplementedError

        long.__doc__ = "d" * (16 * 1024 + 1)
        for function in (variable, keywords, nameless, long):
            with self.subTest(function.__name__):
                with self.assertRaises(DescriptionError):
                    Worker("k").function(function)
        with self.assertRaises(DescriptionError):
            Worker("k").function(name="a.b")(print)
        worker = Worker("k")
        worker.function(name="same")(lambda: 1)
        with self.assertRaisesRegex(DescriptionError, "twice"):
            worker.function(name="same")(lambda: 2)

    def test_a_worker_without_functions(self) -> None:
        with self.assertRaisesRegex(DescriptionError, "at least one"):
            Worker("k").run()


class OutsideOfCalls(unittest.TestCase):
    def test_functions_can_be_tested_without_a_manager(self) -> None:
        worker = Worker("k")
        self.assertEqual(worker.remaining(), float("inf"))
        self.assertIs(worker.cancelled, False)
        about = (worker.call_id, worker.call_key, worker.call_class)
        self.assertEqual(about, (None, None, None))
        worker.check_cancelled()
        with self.assertRaisesRegex(RuntimeError, "while a call runs"):
            worker.call("other.thing")

    def test_callers_are_checked_when_they_are_made(self) -> None:
        for options in (
            {"kind": ""},
            {"kind": 5},
            {"versions": {"grammar": 5}},
            {"versions": {"tags": "en"}},
            {"versions": {1: "5"}},
            {"versions": "5.12.0"},
            {"tags": "en"},
            {"tags": 5},
            {"tags": [1]},
            {"roles": ["a b"]},
            {"key": 5},
            {"key": b"k"},
            {"class_": "lowest"},
            {"class_": ["low"]},
            {"idempotent": 1},
            {"idempotent": "yes"},
            {"timeout": "1"},
            {"timeout": math.nan},
        ):
            with self.subTest(options), self.assertRaises((TypeError, ValueError)):
                Worker("k").caller(**{"kind": "other", **options})

    def test_timeouts_are_kept_in_bounds(self) -> None:
        for timeout, expected in (
            (None, {}),
            (math.inf, {}),
            (0.5, {"timeout_ms": 500}),
            (-1, {"timeout_ms": 0}),
            (-math.inf, {"timeout_ms": 0}),
            (1e308, {"timeout_ms": 10**12}),
            (10**400, {"timeout_ms": 10**12}),
        ):
            with self.subTest(timeout):
                self.assertEqual(check_options(timeout, None, None, None), expected)

    def test_the_time_that_remains_outside_of_calls_is_a_timeout(self) -> None:
        worker = Worker("k")
        worker.caller("other", timeout=worker.remaining())
