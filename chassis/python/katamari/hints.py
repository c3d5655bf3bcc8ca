"""Type hints: as types of the protocol, and as what arguments are converted to."""

from __future__ import annotations

import collections.abc
import dataclasses
import functools
import types
import typing
from typing import Any, Callable, Dict, Optional, Tuple

from .errors import DescriptionError
from .values import Payload

ANY = "any"

NESTING_MAX = 16
"""Levels of `[]` and `{}` around a word, by the protocol; `?` is none."""

Convert = Callable[[Any], Any]

_SCALARS = (
    (bool, "boolean"),  # before int, of which it is a subclass
    (str, "string"),
    (int, "integer"),
    (float, "number"),
    ((bytes, bytearray, memoryview, Payload), "bytes"),
)
_ARRAYS = (collections.abc.Sequence, collections.abc.Set, collections.abc.Iterable)
_UNIONS = (typing.Union, getattr(types, "UnionType", typing.Union))


def resolve(function: Callable[..., Any]) -> Dict[str, Any]:
    """The hints of a function by parameter name, and `return`.

    A hint that cannot be resolved (it names what only the type checker imports, or
    uses syntax that this Python lacks at run time) is left out.
    """
    hints: Dict[str, Any] = {}
    for name, hint in getattr(function, "__annotations__", {}).items():
        holder = types.SimpleNamespace(__annotations__={name: hint})
        try:
            scope = getattr(function, "__globals__", {})
            hints.update(typing.get_type_hints(holder, scope, include_extras=True))
        except Exception:  # evaluating a hint runs the program's code
            continue
    return hints


def split_doc(hint: Any) -> Tuple[Any, str]:
    """A hint without `Annotated`, and the first string annotated to it."""
    if typing.get_origin(hint) is not typing.Annotated:
        return hint, ""
    inner, *extras = typing.get_args(hint)
    return inner, next((extra for extra in extras if isinstance(extra, str)), "")


def type_name(hint: Any) -> str:
    """A hint in the protocol's grammar; `any` where that has no word for it."""
    name = _type_name(hint)
    if name.count("[") + name.count("{") > NESTING_MAX:  # each holds just one type
        raise DescriptionError(f"a type nests more than {NESTING_MAX} deep")
    return name


def _type_name(hint: Any) -> str:
    hint = _bare(hint)
    optional = _optional(hint)
    if optional is not None:
        inner = _type_name(optional)
        return inner if inner == ANY or inner.endswith("?") else inner + "?"
    origin = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if origin is typing.Literal:
        names = {_type_name(type(value)) for value in arguments}
        return names.pop() if len(names) == 1 else ANY
    if not isinstance(origin, type):
        return ANY
    if dataclasses.is_dataclass(origin) and origin is not Payload:
        return "object"
    for classes, name in _SCALARS:
        if issubclass(origin, classes):
            return name
    if issubclass(origin, collections.abc.Mapping):
        value = _type_name(arguments[1]) if len(arguments) == 2 else ANY
        return "object" if value == ANY else "{" + value + "}"
    if issubclass(origin, tuple):
        if len(arguments) != 2 or arguments[1] is not Ellipsis:
            return "[any]"
        return f"[{_type_name(arguments[0])}]"
    if issubclass(origin, _ARRAYS):
        return f"[{_type_name(arguments[0]) if arguments else ANY}]"
    return ANY


def piece_hint(hint: Any) -> Any:
    """What a stream yields, from `Iterator[T]`, `Generator[T, ...]` and the like."""
    arguments = typing.get_args(hint)
    return arguments[0] if arguments else Any


def converter(hint: Any) -> Optional[Convert]:
    """A function from a JSON value to the dataclasses that a hint asks for.

    None if it asks for none, which is to say that the value is right as it is.
    """
    hint = _bare(hint)
    optional = _optional(hint)
    if optional is not None:
        inner = converter(optional)
        return inner and (lambda value: None if value is None else inner(value))
    origin = typing.get_origin(hint) or hint
    arguments = typing.get_args(hint)
    if not isinstance(origin, type):
        return None
    if dataclasses.is_dataclass(origin) and origin is not Payload:
        return functools.partial(_build, origin)
    if origin is list and arguments:
        inner = converter(arguments[0])
        return inner and (lambda value: [inner(item) for item in value])
    if origin is dict and len(arguments) == 2:
        inner = converter(arguments[1])
        return inner and (lambda value: {key: inner(v) for key, v in value.items()})
    return None


def _build(cls: type, value: Any) -> Any:
    if not isinstance(value, dict):
        raise TypeError(f"{cls.__name__} is made of an object, not of {value!r:.100}")
    converters = _field_converters(cls)
    return cls(
        **{k: converters[k](v) if k in converters else v for k, v in value.items()}
    )


@functools.lru_cache(maxsize=None)  # one entry for each dataclass of the program
def _field_converters(cls: type) -> Dict[str, Convert]:
    """Looked up at the first value, not before: a dataclass may hold its own kind."""
    hints = typing.get_type_hints(cls)
    found = {
        field.name: converter(hints[field.name]) for field in dataclasses.fields(cls)
    }
    return {name: convert for name, convert in found.items() if convert is not None}


def _bare(hint: Any) -> Any:
    """A hint without `Annotated` and `NewType`."""
    hint, _ = split_doc(hint)
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    return hint


def _optional(hint: Any) -> Optional[Any]:
    """T of `Optional[T]`; `Any` of another union with None; None of anything else."""
    if typing.get_origin(hint) not in _UNIONS:
        return None
    members = [m for m in typing.get_args(hint) if m is not type(None)]
    return members[0] if len(members) == 1 else Any
