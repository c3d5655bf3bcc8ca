#!/usr/bin/env python3
"""What the demo asks: questions, sentences from WordNet, and a few that no parser survives.

    sentences.py [--count 500] [--seed 1]      prints them, one a line, with their source
"""

from __future__ import annotations

import argparse
import pathlib
import random
import re
from dataclasses import dataclass
from itertools import cycle, islice

HERE = pathlib.Path(__file__).parent
WORDNET = pathlib.Path("/usr/share/wordnet")  # Debian's wordnet-base

# Of a hundred sentences so many are monsters: each may hold a worker of two for its whole
# timeout, and the others must still get through.
MONSTERS_PERCENT = 3

# Shorter examples are mere phrases, longer ones are quotations from books.
WORDS_MIN, WORDS_MAX = 4, 16


@dataclass(frozen=True)
class Query:
    text: str
    source: str  # question, wordnet or monster


def questions() -> list[str]:
    lines = (HERE / "questions.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def wordnet_sentences(folder: pathlib.Path = WORDNET) -> list[str]:
    """The examples in the glosses: quoted strings after the bar of each line of data.*."""
    found: dict[str, None] = {}
    for path in sorted(folder.glob("data.*")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            _, bar, gloss = line.partition(" | ")
            if bar:
                for example in re.findall(r'"([^"]+)"', gloss):
                    if WORDS_MIN <= len(example.split()) <= WORDS_MAX:
                        found.setdefault(example)
    if not found:
        raise SystemExit(f"no WordNet in {folder}: apt-get install wordnet-base")
    return list(found)


def monsters() -> list[str]:
    """Sentences that take link-grammar far more time or memory than anybody has."""
    return [embedded(6), prepositions(60), soup(40), piled(200), embedded(9), soup(240)]


def embedded(depth: int) -> str:
    """Clauses within clauses: there is no end of ways to attach them."""
    nouns, others = ["dog", "cat", "boy"], ["girls", "they", "we"]
    clauses = (f"that the {noun} which {other} thought that the {noun} which {other} thought that "
               f"the {noun} which {other} thought"
               for noun, other in islice(zip(cycle(nouns), cycle(others)), depth))
    return f"the man said {' '.join(clauses)} slept"


def prepositions(count: int) -> str:
    """A grammatical chain of prepositional phrases, each of which may belong to any before it."""
    phrases = ["with the dog", "in the park", "near the old bridge", "under a tree",
               "by the river", "for the king", "on the hill", "of my friend"]
    return f"I saw the man {' '.join(islice(cycle(phrases), count))}."


def soup(count: int) -> str:
    """Small words in no order: the parser tries to leave out one, two, three, ... of them."""
    words = ["the", "of", "and", "blorg", "which", "that", "in", "to", "said", "have"]
    return " ".join(islice(cycle(words), count))


def piled(count: int) -> str:
    """Words that can be nouns, verbs and more, in a heap."""
    words = ["police", "fish", "buffalo", "time", "flies", "like", "still", "that", "well", "down"]
    return " ".join(islice(cycle(words), count))


def mix(count: int, seed: int) -> list[Query]:
    """`count` queries: all questions, some monsters, the rest from WordNet. The same for a seed."""
    chance = random.Random(seed)
    asked = [Query(text, "question") for text in questions()[:count]]
    awful = [Query(text, "monster")
             for text in islice(cycle(monsters()), count * MONSTERS_PERCENT // 100)]
    rest = max(0, count - len(asked) - len(awful))
    examples = wordnet_sentences()
    quoted = [Query(text, "wordnet") for text in chance.sample(examples, min(rest, len(examples)))]
    queries = asked + awful + quoted
    chance.shuffle(queries)
    return queries


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    for query in mix(arguments.count, arguments.seed):
        print(f"{query.source}\t{query.text}")


if __name__ == "__main__":
    main()
