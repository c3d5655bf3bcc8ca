"""A reformulation and its weight."""

from __future__ import annotations

from dataclasses import dataclass

# More than a search engine would ask for one query.
REFORMULATIONS_MAX = 12

# Search engines read no more of a query than about as many characters.
TEXT_MAX = 200


@dataclass(frozen=True)
class Reformulation:
    text: str
    weight: float  # 0 to 1: how likely a page with this is an answer
    why: str

    def as_json(self) -> dict[str, object]:
        return {"text": self.text, "weight": self.weight, "why": self.why}


def as_asked(text: str) -> Reformulation:
    """The query itself, which is better than nothing."""
    return Reformulation(text.strip()[:TEXT_MAX], 0.1, "as asked")


def ranked(found: list[Reformulation]) -> list[Reformulation]:
    """The best first, each text once and with its highest weight, not too many."""
    best: dict[str, Reformulation] = {}
    for item in sorted(found, key=lambda item: -item.weight):
        if item.text.strip("* "):
            best.setdefault(item.text.lower(), item)
    return list(best.values())[:REFORMULATIONS_MAX]
