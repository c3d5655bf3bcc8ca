"""Variant b: takes the phrases of the constituent tree, quotes them, and combines them.

"What is the capital of France?" becomes '"capital of France"': it trusts the search engine to
rank pages, and gives it phrases instead of sentences.
"""

from __future__ import annotations

import re
from typing import Iterator

from .english import STOP_WORDS
from .keywords import keywords, names
from .linkage import Linkage
from .weighted import Reformulation

PHRASE_WORDS_MAX = 6


def reformulate(text: str, linkage: Linkage) -> list[Reformulation]:
    phrases = quotable(linkage)
    words = keywords(text)
    found = [Reformulation(" ".join(words), 0.6, "keywords")]
    covered = {word.lower() for phrase in phrases for word in phrase.split()}
    others = [word for word in words if word.lower() not in covered]
    if phrases:
        together = [f'"{phrase}"' for phrase in phrases] + others
        found.append(Reformulation(" ".join(together), 1.0, "all phrases and the other keywords"))
    for phrase in phrases:
        # A long phrase says more, and fewer pages have it by chance.
        weight = min(0.4 + 0.1 * len(phrase.split()), 0.8)
        found.append(Reformulation(f'"{phrase}"', round(weight, 2), "a phrase"))
    for name in names(text):
        found.append(Reformulation(f'"{name}"', 0.7, "a name"))
    nouns = [linkage.words[i] for i, mark in enumerate(linkage.marks) if mark.startswith("n")]
    if len(nouns) > 1:
        found.append(Reformulation(" ".join(dict.fromkeys(nouns)), 0.3, "nouns only"))
    return found


def quotable(linkage: Linkage) -> list[str]:
    """The noun phrases of more than one word, without small words at their ends, the outermost
    where one is inside another, in order."""
    chosen: list[list[str]] = []
    for phrase in noun_phrases(linkage.tree):
        words = [bare_leaf(word) for word in phrase if any(c.isalnum() for c in word)]
        while words and words[0].lower() in STOP_WORDS:
            words.pop(0)
        while words and words[-1].lower() in STOP_WORDS:
            words.pop()
        inside = any(" ".join(words) in " ".join(other) for other in chosen)
        if 2 <= len(words) <= PHRASE_WORDS_MAX and not inside:
            chosen.append(words)
    return [" ".join(words) for words in chosen]


def bare_leaf(word: str) -> str:
    """A word of the tree as it was written; the tree has braces where the words have brackets."""
    return Linkage.bare(word.replace("{", "[").replace("}", "]"))


def noun_phrases(tree: str) -> Iterator[list[str]]:
    """The words of every (NP ...) of a tree in brackets, outer ones first."""
    tokens = re.findall(r"\(|\)|[^\s()]+", tree)
    for start, token in enumerate(tokens):
        if token == "(" and tokens[start + 1:start + 2] == ["NP"]:
            depth = 0
            words: list[str] = []
            for position in range(start, len(tokens)):
                if tokens[position] == "(":
                    depth += 1
                elif tokens[position] == ")":
                    depth -= 1
                    if depth == 0:
                        break
                elif tokens[position - 1] != "(":
                    words.append(tokens[position])
            yield words
