"""A worker that declares types, docs and examples, of dialect json, kind typed-kind."""

from typing import Annotated, Any, Dict, Iterator, List, Optional

from katamari import Payload, Worker

worker = Worker("typed-kind")


@worker.function(
    idempotent=True,
    examples=[({"words": ["a", "b"], "between": "-"}, "a-b"), ([["a"]],)],
)
def join(
    words: Annotated[List[str], "what to join"], between: Optional[str] = None
) -> str:
    """Joins words.

    Without anything between them if "between" is null.
    """
    return (between or "").join(words)


@worker.function
def scale(vector: Dict[str, float], by: int, exact: bool = True) -> Dict[str, float]:
    return {name: value * by for name, value in vector.items()}


@worker.function(name="from")
def from_(any: Any, self: Optional[int]) -> Dict[str, Any]:
    return {"any": any, "self": self}


@worker.function(examples=[([2], [1, 2])])
def count(to: int) -> Iterator[int]:
    """Counts."""
    for number in range(1, to + 1):
        if number > 3:
            raise ValueError("cannot count that far")
        yield number


@worker.function
def reverse(data: bytes) -> bytes:
    return data[::-1]


@worker.function
def fail(message: str) -> None:
    raise ValueError(message)


worker.run()
