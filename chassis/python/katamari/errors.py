"""The exceptions of the chassis."""

from __future__ import annotations


class CallError(Exception):
    """A nested call failed. `code` is one of Katamari's error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class Cancelled(Exception):
    """The answer to the running call is no longer wanted.

    `reason` is `deadline`, `client_left` or `shutdown`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return "cancelled"


class TooLarge(ValueError):
    """A result, or one piece of a stream, does not fit into a frame."""


class DescriptionError(ValueError):
    """The worker, or one of its functions, cannot be described to a manager."""


class ProtocolError(Exception):
    """The manager sent what the protocol does not allow; the worker cannot go on."""
