"""Reformulations without a parse: the words that carry meaning, and names."""

from __future__ import annotations

import re

from .english import STOP_WORDS
from .weighted import Reformulation

WORD = re.compile(r"[^\W_]+(?:['’.-][^\W_]+)*")

# Search engines ignore what comes after about as many words.
KEYWORDS_MAX = 12


def keywords(text: str) -> list[str]:
    """The words of `text` that carry meaning, each once, in order."""
    found: dict[str, str] = {}
    for word in WORD.findall(text):
        if word.lower() not in STOP_WORDS:
            found.setdefault(word.lower(), word)
    return list(found.values())[:KEYWORDS_MAX]


def names(text: str) -> list[str]:
    """Runs of capitalised words, such as "New York City"; the first word of all does not count."""
    runs: list[list[str]] = [[]]
    words = WORD.findall(text)
    for position, word in enumerate(words):
        if word[0].isupper() and position > 0 and word.lower() not in STOP_WORDS:
            runs[-1].append(word)
        elif runs[-1]:
            runs.append([])
    return [" ".join(run) for run in runs if run]


def from_words(text: str) -> list[Reformulation]:
    words = keywords(text)
    found = [Reformulation(" ".join(words), 0.5, "keywords")]
    for name in names(text):
        found.append(Reformulation(f'"{name}"', 0.4, "a name"))
    if len(words) > 3:
        longest = sorted(words, key=lambda word: -len(word))[:3]
        chosen = [word for word in words if word in longest]
        found.append(Reformulation(" ".join(chosen), 0.3, "the longest keywords"))
    return found
