"""Payloads: values as JSON, or bytes with a content type.

The scanner and the encoder of the standard library are made once and used for every
payload: `json.loads` and `json.dumps` would set up their own for each call.
"""

from __future__ import annotations

import dataclasses
import json
import json.encoder
from typing import Any, Callable, NoReturn, Optional, Tuple

JSON = "application/json"
OCTETS = "application/octet-stream"


@dataclasses.dataclass(frozen=True)
class Payload:
    """Bytes that are not JSON, as an argument, a result or a piece of a stream."""

    __slots__ = ("data", "content_type")
    data: bytes
    content_type: str

    def __post_init__(self) -> None:
        if not isinstance(self.data, (bytes, bytearray, memoryview)):
            raise TypeError(f"data: expected bytes, not {type(self.data).__name__}")
        if not isinstance(self.content_type, str):
            raise TypeError(f"content_type: expected text, not {self.content_type!r}")
        if not self.content_type:
            raise ValueError("content_type: expected text, not nothing")


class Last:
    """Returned by a function: answer with `value`, then exit.

    No further call comes, and the manager starts a replacement.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any = None) -> None:
        self.value = value


def _reject_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(parse_constant=_reject_constant)
_scan: Callable[[str, int], Tuple[Any, int]] = _decoder.scan_once


def scan_json(data: bytes) -> Any:
    """The one JSON value in `data`. Raises `ValueError` if it is anything else."""
    text = data.decode()
    try:
        value, end = _scan(text, 0)
        if end == len(text):
            return value
    except StopIteration:
        pass
    return _decoder.decode(text)  # skips white space around, or says what is wrong


def decode(data: bytes, content_type: Optional[str]) -> Any:
    """The value of a payload; a `Payload` if its content type is not JSON."""
    if content_type is None or content_type.partition(";")[0].strip() == JSON:
        return scan_json(data)
    return Payload(data, content_type)


def _plain(value: Any) -> Any:
    """What JSON should hold in place of a value it has no form for."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    raise TypeError(f"a value of type {type(value).__name__} has no form in JSON")


def _make_dump() -> Callable[[Any], str]:
    """A function from a value to JSON text, as fast as this Python has one."""
    encoder = json.JSONEncoder(
        ensure_ascii=False,
        check_circular=False,  # a circle ends in RecursionError, which is enough
        allow_nan=False,
        separators=(",", ":"),
        default=_plain,
    )
    # `JSONEncoder.encode` makes a new C encoder for each value, which takes longer
    # than to encode a small one. Where the C encoder can be made here, it is.
    try:
        encode_in_c = json.encoder.c_make_encoder(  # type: ignore[attr-defined]
            None, _plain, json.encoder.encode_basestring, None, ":", ",", False, False,
            False,
        )  # fmt: skip
        join = "".join

        def dump(value: Any) -> str:
            return join(encode_in_c(value, 0))

        probe = {"a": [1, 2.5, None, True, "\u00e9\n"], "b": {}}
        if dump(probe) == encoder.encode(probe):
            return dump
    except (AttributeError, TypeError):
        pass
    return encoder.encode


dump_json: Callable[[Any], str] = _make_dump()
"""JSON text of a value. Raises `ValueError`, `TypeError` or `RecursionError`."""

RAW_TYPES = frozenset((bytes, bytearray, memoryview, Payload))
"""Types of values that travel as they are, not as JSON."""


def encode(value: Any) -> Tuple[bytes, Optional[str]]:
    """The payload of a value, and its content type if it is not JSON."""
    if type(value) in RAW_TYPES:
        if type(value) is Payload:
            return bytes(value.data), value.content_type
        return bytes(value), OCTETS
    return dump_json(value).encode(), None
