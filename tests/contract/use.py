"""Uses the client that `katamari client python` wrote."""

import sys

from client import KatamariError, TypedKind

typed = TypedKind(sys.argv[1])
assert typed.join(["a", "b"], between="-") == "a-b"
assert typed.join(words=["a"]) == "a"
assert typed.scale({"x": 1.5}, 2) == {"x": 3.0}
assert typed.from_("é", None) == {"any": "é", "self": None}
assert typed.reverse(b"\x00\xff") == b"\xff\x00"
assert list(typed.count(2)) == [1, 2]
careful = typed.with_options(timeout_s=5, call_class="high", key="k", idempotent=True)
assert careful.join([]) == ""
for wrong, code in (
    (lambda: typed.fail("no"), "worker_error"),
    (lambda: typed.join([1]), "bad_arguments"),
    (lambda: list(typed.count(9)), "worker_error"),
    (lambda: typed.with_options(call_class="top").join([]), "bad_request"),
):
    try:
        wrong()
    except KatamariError as error:
        assert error.code == code, error
        assert code == "bad_request" or len(error.id) == 16
    else:
        raise AssertionError(code)
pieces = typed.count(9)
assert [next(pieces), next(pieces), next(pieces)] == [1, 2, 3]
