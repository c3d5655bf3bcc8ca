"""The description of a worker: what its hello says of it and of its functions.

The limits are the protocol's. They are checked when a function is defined, so that a
mistake shows as a Python backtrace on the author's screen, not at the manager.
"""

from __future__ import annotations

import inspect
import json
import re
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence

from .errors import DescriptionError
from .hints import (
    Convert,
    converter,
    piece_hint,
    resolve,
    split_doc,
    type_name,
)

NAME = re.compile(r"[a-zA-Z0-9_-]{1,100}")
RESERVED_KEYS = frozenset(("kind", "tags", "roles"))

DETAILS_MAX = 32
"""Version keys, tags and roles of a worker, each."""

VERSION_SIZE_MAX = 200
"""Bytes of a version."""

SLOTS_MAX = 1024
FUNCTIONS_MAX = 1000
PARAMETERS_MAX = 100
PARAMETER_NAME_MAX = 100
DOC_SIZE_MAX = 16 * 1024
"""Bytes of a doc."""

EXAMPLES_MAX = 10
"""Examples of a function."""

EXAMPLE_SIZE_MAX = 16 * 1024
"""Bytes of an example, arguments and result together."""

Description = Dict[str, Any]


class Function:
    """A function that the worker offers: how to call it, and its description.

    `asynchronous`: it is a coroutine or an async generator, which a loop must run.
    `parameters` are the names in the order in which positional arguments bind;
    `converters` the parameters whose values are dataclasses or hold some; `takes_bytes`
    whether the first parameter is wanted as bare bytes when it comes as a `Payload`.
    """

    __slots__ = (
        "run",
        "stream",
        "asynchronous",
        "parameters",
        "converters",
        "takes_bytes",
        "description",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        name: Optional[str] = None,
        idempotent: bool = False,
        stream: Optional[bool] = None,
        examples: Iterable[Sequence[Any]] = (),
        input: bool = False,
    ) -> None:
        inner = inspect.unwrap(function)
        if stream is None:
            stream = inspect.isgeneratorfunction(inner)
            stream = stream or inspect.isasyncgenfunction(inner)
        name = check_name("function", name or getattr(function, "__name__", ""))
        hints = resolve(inner)
        parameters = _parameters(name, function)
        names = [parameter.name for parameter in parameters]
        result = split_doc(hints.get("return", Any))[0]
        self.run = function
        self.stream = stream
        self.asynchronous = inspect.iscoroutinefunction(inner)
        self.asynchronous = self.asynchronous or inspect.isasyncgenfunction(inner)
        self.parameters = names
        self.converters = _converters(names, hints)
        self.takes_bytes = bool(names) and _is_bytes(hints.get(names[0]))
        self.description: Description = {
            "name": name,
            "doc": _check_doc(name, inspect.cleandoc(function.__doc__ or "")),
            "idempotent": idempotent,
            "stream": stream,
            "parameters": [_describe_parameter(p, name, hints) for p in parameters],
            "result": type_name(piece_hint(result) if stream else result),
        }
        if input:
            self.description["input"] = True
        described = [_describe_example(name, names, example) for example in examples]
        if len(described) > EXAMPLES_MAX:
            raise DescriptionError(
                f"{name}: {len(described)} examples, {EXAMPLES_MAX} are allowed"
            )
        if described:
            self.description["examples"] = described

    def by_position(self, arguments: List[Any]) -> Dict[str, Any]:
        """Positional arguments by name. Raises `TypeError` if there are too many."""
        if len(arguments) > len(self.parameters):
            raise TypeError(
                f"{self.description['name']} takes {len(self.parameters)} arguments, "
                f"{len(arguments)} were given"
            )
        return dict(zip(self.parameters, arguments))

    def convert(self, arguments: Dict[str, Any]) -> None:
        """Makes dataclasses of the arguments that should be some."""
        for name, convert in self.converters.items():
            if name in arguments:
                arguments[name] = convert(arguments[name])


def describe_worker(
    kind: str,
    versions: Mapping[str, str],
    tags: Iterable[str],
    roles: Iterable[str],
    slots: int,
) -> Description:
    """The description of a worker that has no functions yet."""
    return {
        "kind": check_name("kind", kind),
        "versions": check_versions(versions),
        "tags": check_words("tags", tags),
        "roles": check_words("roles", roles),
        "slots": _check_slots(slots),
        "functions": [],
    }


def check_name(what: str, name: str) -> str:
    """The name. Raises `DescriptionError` if the protocol does not allow it."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise DescriptionError(
            f"{what} {name!r}: expected 1 to 100 characters of a-z A-Z 0-9 _ -"
        )
    return name


def check_versions(versions: Mapping[str, str]) -> Dict[str, str]:
    """The versions. Raises `DescriptionError` if the protocol does not allow them."""
    _check_count("version keys", len(versions))
    for key, value in versions.items():
        check_name("version key", key)
        if key in RESERVED_KEYS:
            raise DescriptionError(f"version key {key!r} means something else")
        if not isinstance(value, str) or len(value.encode()) > VERSION_SIZE_MAX:
            raise DescriptionError(
                f"version {key} = {value!r}: expected a string of at most "
                f"{VERSION_SIZE_MAX} bytes"
            )
    return dict(versions)


def check_words(what: str, words: Iterable[str]) -> List[str]:
    """Tags or roles. Raises `DescriptionError` if the protocol does not allow them."""
    if isinstance(words, str):
        raise DescriptionError(f"{what}: expected a list, not the string {words!r}")
    checked = [check_name(what, word) for word in words]
    _check_count(what, len(checked))
    return checked


def _check_count(what: str, count: int) -> None:
    if count > DETAILS_MAX:
        raise DescriptionError(f"{count} {what}: at most {DETAILS_MAX} are allowed")


def _check_slots(slots: int) -> int:
    if type(slots) is not int or not 1 <= slots <= SLOTS_MAX:
        raise DescriptionError(f"slots = {slots!r}: expected 1 to {SLOTS_MAX}")
    return slots


def _check_doc(name: str, doc: str) -> str:
    size = len(doc.encode())
    if size > DOC_SIZE_MAX:
        raise DescriptionError(
            f"{name}: its doc has {size} bytes, {DOC_SIZE_MAX} are allowed"
        )
    return doc


def _parameters(name: str, function: Callable[..., Any]) -> List[inspect.Parameter]:
    """The parameters in the order in which positional arguments bind."""
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        if parameter.kind not in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            raise DescriptionError(
                f"{name}: parameter {parameter} cannot be given by name; the protocol "
                "needs every parameter to have one"
            )
        if len(parameter.name) > PARAMETER_NAME_MAX:
            raise DescriptionError(
                f"{name}: parameter {parameter.name!r} has a name of more than "
                f"{PARAMETER_NAME_MAX} characters"
            )
    if len(parameters) > PARAMETERS_MAX:
        raise DescriptionError(
            f"{name}: {len(parameters)} parameters, {PARAMETERS_MAX} are allowed"
        )
    # Required ones first: a keyword-only one may stand after an optional one.
    return sorted(parameters, key=lambda p: p.default is not p.empty)


def _describe_parameter(
    parameter: inspect.Parameter, name: str, hints: Mapping[str, Any]
) -> Description:
    hint, doc = split_doc(hints.get(parameter.name, Any))
    description: Description = {"name": parameter.name, "type": type_name(hint)}
    if doc:
        description["doc"] = _check_doc(f"{name}, {parameter.name}", doc)
    if parameter.default is not parameter.empty:
        description["required"] = False
    return description


def _describe_example(name: str, names: List[str], example: Any) -> Description:
    """An example is `(arguments,)` or `(arguments, result)`."""
    if not isinstance(example, (tuple, list)) or len(example) not in (1, 2):
        raise DescriptionError(
            f"{name}: expected an example (arguments,) or (arguments, result), "
            f"got {example!r}"
        )
    description = dict(zip(("arguments", "result"), example))
    arguments = description["arguments"]
    if not isinstance(arguments, (dict, list)):
        raise DescriptionError(
            f"{name}: expected the arguments of an example as a dict or a list, "
            f"got {arguments!r}"
        )
    unknown = [key for key in arguments if key not in names]
    if isinstance(arguments, dict) and unknown:
        raise DescriptionError(f"{name}: an example has unknown arguments {unknown}")
    try:
        size = len(json.dumps(description, allow_nan=False).encode())
    except (TypeError, ValueError) as error:
        raise DescriptionError(f"{name}: an example is not JSON: {error}") from None
    if size > EXAMPLE_SIZE_MAX:
        raise DescriptionError(
            f"{name}: an example has {size} bytes, {EXAMPLE_SIZE_MAX} are allowed"
        )
    return description


def _converters(names: List[str], hints: Mapping[str, Any]) -> Dict[str, Convert]:
    found = {name: converter(hints.get(name, Any)) for name in names}
    return {name: convert for name, convert in found.items() if convert is not None}


def _is_bytes(hint: Any) -> bool:
    return split_doc(hint)[0] is bytes
