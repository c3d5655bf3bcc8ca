"""What a caller gets to see of an exception."""

from __future__ import annotations

import os
import traceback

from .frames import ERROR, pack
from .values import dump_json

MESSAGE_MAX = 8 * 1024
"""Bytes of a message: JSON makes at most 6 bytes of one, a header holds 65535."""

TYPE_MAX = 200
"""Characters of the exception's name, for the same reason."""

BACKTRACE_MAX = 64 * 1024
"""Bytes of a backtrace: enough for a deep recursion, which Python abridges."""

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def error_frame(
    call_id: int, error: BaseException, last: bool, frame_max: int
) -> bytes:
    """The error frame that ends call `call_id`."""
    fields = {
        "id": call_id,
        "message": _cut(_clean(_message(error)), MESSAGE_MAX),
        "type": _clean(type(error).__name__)[:TYPE_MAX],
    }
    if last:
        fields["last"] = True
    header = dump_json(fields).encode()
    room = min(BACKTRACE_MAX, frame_max - len(header) - 3)
    return pack(ERROR, header, _backtrace(error, room), frame_max)


def _message(error: BaseException) -> str:
    if isinstance(error, SystemExit):
        return f"the function ended the worker: exit({error.code!r})"
    try:
        return str(error) or type(error).__name__
    except Exception:  # a broken __str__ must not cost the worker its life
        return f"{type(error).__name__}, whose message cannot be shown"


def _backtrace(error: BaseException, room: int) -> bytes:
    """The backtrace without the chassis's own frames; its end, if it is too long."""
    try:
        shown = traceback.TracebackException.from_exception(error)
        _trim(shown)
        text = "".join(shown.format())
    except Exception:  # as above
        return b""
    data = _clean(text).encode()
    if len(data) <= room:
        return data
    return data[-room:].decode("utf-8", "ignore").encode() if room > 0 else b""


def _trim(shown: traceback.TracebackException) -> None:
    """Takes the chassis out of the stack of an exception and of its causes."""
    pending, seen = [shown], set()
    while pending:
        current = pending.pop()
        if current is None or id(current) in seen:
            continue
        seen.add(id(current))
        current.stack = traceback.StackSummary.from_list(
            [frame for frame in current.stack if not frame.filename.startswith(_HERE)]
        )
        pending += [current.__cause__, current.__context__]


def _cut(text: str, size: int) -> str:
    """The beginning of the text, as far as `size` bytes reach."""
    return text.encode()[:size].decode("utf-8", "ignore")


def _clean(text: str) -> str:
    """The text with lone surrogates, which UTF-8 cannot carry, spelled out."""
    return text.encode("utf-8", "backslashreplace").decode()
