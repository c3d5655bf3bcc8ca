"""What a nested call may ask for, checked where the program asks for it.

The manager could only complain of a header that it cannot read; an exception here has a
backtrace that points at the line to mend.
"""

from __future__ import annotations

import math
from typing import Any, Dict, Iterable, Mapping, Optional

from .describe import check_name, check_versions, check_words

CLASSES = ("high", "normal", "low")

TIMEOUT_MAX = 10**9
"""Seconds, thirty years: longer than any call has, and no clock overflows by it."""


def check_details(
    kind: str, versions: Mapping[str, str], tags: Iterable[str], roles: Iterable[str]
) -> Dict[str, Any]:
    """The details to call. Raises `TypeError` or `DescriptionError`."""
    if not isinstance(versions, Mapping):
        raise TypeError(f"versions: expected a mapping, not {versions!r}")
    details: Dict[str, Any] = {**check_versions(versions), "kind": kind}
    check_name("kind", kind)
    if tags:
        details["tags"] = check_words("tags", tags)
    if roles:
        details["roles"] = check_words("roles", roles)
    return details


def check_options(
    timeout: Optional[float],
    key: Optional[str],
    class_: Optional[str],
    idempotent: Optional[bool],
) -> Dict[str, Any]:
    """The header's keys for those that are given. Raises `TypeError`, `ValueError`."""
    if key is not None and not isinstance(key, str):
        raise TypeError(f"key: expected a string, not {key!r}")
    if class_ is not None and class_ not in CLASSES:
        raise ValueError(f"class_: expected one of {CLASSES}, not {class_!r}")
    if idempotent is not None and not isinstance(idempotent, bool):
        raise TypeError(f"idempotent: expected a boolean, not {idempotent!r}")
    options = {
        "timeout_ms": _milliseconds(timeout),
        "key": key,
        "class": class_,
        "idempotent": idempotent,
    }
    return {name: value for name, value in options.items() if value is not None}


def _milliseconds(timeout: Optional[float]) -> Optional[int]:
    """A timeout in seconds as one in milliseconds; an infinite one is none."""
    if timeout is None or timeout == math.inf:
        return None
    if not isinstance(timeout, (int, float)):
        raise TypeError(f"timeout: expected seconds, not {timeout!r}")
    if timeout != timeout:
        raise ValueError("timeout: expected seconds, not NaN")
    return int(min(max(timeout, 0), TIMEOUT_MAX) * 1000)
