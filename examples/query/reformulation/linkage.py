"""Reading a linkage: who is the subject, what is the object, which words form a noun phrase.

The labels are link-grammar's, https://www.abisource.com/projects/link-grammar/dict/. Capitals
name the link, small letters and * refine it: Ss*w is an S. Only capitals are compared here,
with the refinement where it matters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Iterator, Optional

SUBSCRIPT = re.compile(r"\.[a-z][a-z0-9-]*$")  # telephone.n, invented.v-d
REMARK = re.compile(r"\[[!?~&][^\]]*\]")  # York[!<CAPITALIZED-WORDS>], blorg[?]

# Links from a noun to what stands before it and belongs to its phrase.
BEFORE_NOUN = {"D", "DD", "DP", "DT", "A", "AN", "G", "GN", "NM", "YS", "YP", "L", "H", "E", "EA"}
# Links from a noun to a preposition or participle after it, and from a preposition to its noun.
AFTER_NOUN = {"M"}
OF_PREPOSITION = {"J"}
# Links from one verb form to the next: can fly, was born, has been seen.
VERB_CHAIN = {"I", "PP", "Pv", "Pg"}


@dataclass(frozen=True)
class Link:
    label: str
    left: int
    right: int

    @property
    def name(self) -> str:
        """The capitals at the start: S of Ss*w, AN of AN."""
        return re.match(r"[A-Z]*", self.label)[0]


class Linkage:
    def __init__(self, parsed: dict[str, Any]) -> None:
        raw = parsed["words"]
        self.marks = [self.mark(word) for word in raw]
        self.words = [self.bare(word) for word in raw]
        # link-grammar puts what it could not link into brackets.
        self.unlinked = {i for i, word in enumerate(raw) if re.fullmatch(r"\[.*\]", word)}
        self.links = [Link(link["label"], link["left"], link["right"]) for link in parsed["links"]]
        self.tree: str = parsed["tree"]

    @staticmethod
    def mark(word: str) -> str:
        """What the dictionary says of the word: n for telephone.n, v-d for invented.v-d."""
        found = SUBSCRIPT.search(word)
        return found[0][1:] if found and word != found[0] else ""

    @staticmethod
    def bare(word: str) -> str:
        """The word as it was written: telephone for telephone.n, blorg for [blorg[?].v]."""
        if re.fullmatch(r"\[.*\]", word):
            return word[1:-1]
        bare = SUBSCRIPT.sub("", word) or word
        return REMARK.sub("", bare) or bare

    def found(self, *names: str) -> Iterator[Link]:
        """Links of these names; a name with small letters must begin the label."""
        for link in self.links:
            if any(link.name == name or (not name.isupper() and link.label.startswith(name))
                   for name in names):
                yield link

    def right_of(self, left: int, *names: str) -> Optional[int]:
        return next((link.right for link in self.found(*names) if link.left == left), None)

    def left_of(self, right: int, *names: str) -> Optional[int]:
        return next((link.left for link in self.found(*names) if link.right == right), None)

    # Verbs

    def main_verb(self, finite: int) -> int:
        """From "did" in "did Edison invent" to "invent"."""
        seen = {finite}
        verb: Optional[int] = finite
        while (verb := self.right_of(finite, *VERB_CHAIN)) is not None and verb not in seen:
            seen.add(verb)
            finite = verb
        return finite

    # Phrases

    def sentence(self) -> list[int]:
        """All words but the walls and the full stop or question mark."""
        words = [i for i, word in enumerate(self.words) if not word.endswith("-WALL")]
        while words and not any(c.isalnum() for c in self.words[words[-1]]):
            words.pop()
        return words

    def noun_phrase(self, head: int) -> list[int]:
        """The words of the phrase around the noun `head`, in order.

        An English noun phrase has no gaps, but some of its words hang on another word
        than its noun ("the longest river"): so all from the first to the last.
        """
        words: set[int] = set()
        self._collect(head, words)
        return list(range(min(words), max(words) + 1))

    def _collect(self, head: int, words: set[int]) -> None:
        if head in words:
            return
        words.add(head)
        for link in self.links:
            if link.right == head and link.name in BEFORE_NOUN:
                self._collect(link.left, words)
            elif link.left == head and link.name in AFTER_NOUN:
                words.update(self._preposition(link.right))
            elif head in (link.left, link.right) and link.name == "SJ":
                # Paris and London: the conjunction is the head.
                self._collect(link.right if link.left == head else link.left, words)

    def _preposition(self, preposition: int) -> list[int]:
        noun = self.right_of(preposition, *OF_PREPOSITION)
        if noun is None:
            return [preposition]
        return [preposition, *self.noun_phrase(noun)]

    def noun_heads(self) -> list[int]:
        """The nouns that are subject, object, or governed by a preposition."""
        heads = {link.left for link in self.found("S")} | {link.right for link in self.found("SI")}
        heads |= {link.right for link in self.found("O", "J")}
        return sorted(heads)

    def text(self, indices: list[int]) -> str:
        return " ".join(self.words[i] for i in indices)
