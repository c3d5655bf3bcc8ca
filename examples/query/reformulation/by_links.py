"""Variant a: reads subject, verb and object off the links and writes the answer's beginning.

"Who invented the telephone?" becomes "* invented the telephone" and "the telephone was invented
by *": a page with these words is likely to hold the answer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from .english import AUXILIARIES, CIRCUMSTANCES, STOP_WORDS, WH_WORDS, merged, participle
from .keywords import keywords
from .linkage import Linkage
from .weighted import Reformulation

BE = {"is", "are", "was", "were", "am"}
DO = {"do", "does", "did"}
PHRASE_WORDS_MAX = 8


@dataclass
class Clause:
    """Who does what: positions of words in the linkage."""

    subject: list[int]
    finite: int  # the verb that agrees with the subject: "did"
    verb: int  # the verb with the meaning: "invent"
    object: list[int]
    inverted: bool  # the verb stands before its subject, as in most questions


def reformulate(text: str, linkage: Linkage) -> list[Reformulation]:
    found = [Reformulation(" ".join(keywords(text)), 0.4, "keywords")]
    clause = main_clause(linkage)
    if clause is not None:
        found += statements(linkage, clause)
        found += triple(linkage, clause)
    for head in linkage.noun_heads():
        found += noun_phrase(linkage, head)
    return found


def main_clause(linkage: Linkage) -> Optional[Clause]:
    """The clause of the first subject link, which is the outermost in nearly all queries."""
    links = sorted(linkage.found("S", "SI", "SX", "SXI"), key=lambda link: link.left)
    if not links:
        return None
    inverted = links[0].name in {"SI", "SXI"}
    finite, head = links[0].left, links[0].right
    if not inverted:
        finite, head = head, finite
    verb = linkage.main_verb(finite)
    subject = linkage.noun_phrase(head)
    if verb == finite and is_one_of(linkage, finite, DO):
        verb = overlooked_verb(linkage, finite)
        if verb == finite:
            return None
    if is_one_of(linkage, finite, DO) and verb > finite + 1:
        # Nothing but its subject can stand between "did" and its verb.
        inverted = True
        subject = list(range(finite + 1, verb))
    elif verb == finite and inverted and (hanging := list(linkage.found("Mv"))):
        # "Where was Mozart born": the parser hung the participle on the noun.
        verb = hanging[0].right
        subject = list(range(finite + 1, verb))
    elif inverted:
        subject = list(range(finite + 1, max(subject, default=finite) + 1))
    object_head = linkage.right_of(verb, "O")
    object_ = linkage.noun_phrase(object_head) if object_head is not None else []
    return Clause(subject, finite, verb, object_, inverted)


def overlooked_verb(linkage: Linkage, finite: int) -> int:
    """The verb of "when did the war end", where the parser took "end" for a noun; the word
    itself, which is `finite`, if no other can be it."""
    last = linkage.sentence()[-1]
    return finite if linkage.words[last][:1].isupper() else last


def is_one_of(linkage: Linkage, index: int, words: set[str]) -> bool:
    return linkage.words[index].lower() in words


def statements(linkage: Linkage, clause: Clause) -> list[Reformulation]:
    """The question as the statement that would answer it; nothing for what is no question."""
    sentence = linkage.sentence()
    question_words = [i for i in sentence[:2] if is_one_of(linkage, i, WH_WORDS)]
    copula = clause.verb == clause.finite and is_one_of(linkage, clause.finite, BE)
    asks_circumstance = bool(question_words) and is_one_of(
        linkage, question_words[0], set(CIRCUMSTANCES)
    ) and question_words[0] == clause.finite - 1
    if copula and question_words and not asks_circumstance:
        return copula_questions(linkage, clause)
    if clause.inverted:
        return inverted_questions(linkage, clause, asks_circumstance)
    if question_words:
        return subject_questions(linkage, clause)
    return []


def copula_questions(linkage: Linkage, clause: Clause) -> list[Reformulation]:
    """What is the capital of France? How long is the Great Wall?"""
    sentence = linkage.sentence()
    asked = without_question_words(linkage, [i for i in sentence if i < clause.finite])
    rest = linkage.text([i for i in sentence if i > clause.finite])
    finite = linkage.words[clause.finite]
    return [
        Reformulation(joined(rest, finite, "*", linkage.text(asked)), 1.0, "statement: it is *"),
        Reformulation(joined("*", linkage.text(asked), finite, rest), 0.8, "statement: * is it"),
    ]


def subject_questions(linkage: Linkage, clause: Clause) -> list[Reformulation]:
    """Who invented the telephone? How many people live here?"""
    words = without_question_words(linkage, linkage.sentence())
    why = "statement, subject unknown"
    found = [Reformulation(joined("*", linkage.text(words)), 1.0, why)]
    who = without_question_words(linkage, clause.subject)
    if clause.object and not who and linkage.marks[clause.verb].startswith("v-d"):
        what = linkage.text(clause.object)
        done = participle(linkage.words[clause.verb])
        # An object in the plural is linked by an Op.
        was = "were" if linkage.right_of(clause.verb, "Op") is not None else "was"
        found.append(Reformulation(joined(what, was, done, "by *"), 0.9, f"passive {why}"))
    return found


def inverted_questions(
    linkage: Linkage, clause: Clause, asks_circumstance: bool
) -> list[Reformulation]:
    """What did Edison invent? Where was Mozart born? Can penguins fly?"""
    sentence = linkage.sentence()
    front = [i for i in sentence if i < clause.finite]
    moved = {*front, *clause.subject, clause.finite, clause.verb}
    rest = linkage.text([i for i in sentence if i not in moved])
    subject = linkage.text(clause.subject)
    finite = linkage.words[clause.finite].lower()
    verbs = finite
    if clause.verb != clause.finite:
        verbs = merged(finite, linkage.words[clause.verb])
    if asks_circumstance:
        asked = linkage.words[front[-1]].lower()
        statement = joined(subject, verbs, rest)
        if clause.verb == clause.finite and finite in BE and asked in {"where", "when"}:
            # "Where is the deepest lake in the world": what is left belongs to the lake.
            statement = joined(subject, rest, verbs)
        return [
            Reformulation(joined(statement, CIRCUMSTANCES[asked]), 1.0,
                          f"statement, {asked} unknown"),
            Reformulation(joined(subject, verbs, rest), 0.7, "statement"),
        ]
    if front:
        asked = joined("*", linkage.text(without_question_words(linkage, front)))
        return [Reformulation(joined(subject, verbs, asked, rest), 1.0,
                              "statement, object unknown")]
    return [Reformulation(joined(subject, verbs, rest), 0.9, "statement")]


def triple(linkage: Linkage, clause: Clause) -> list[Reformulation]:
    """Subject, verb and object without small words: "Edison invented phonograph"."""
    if is_one_of(linkage, clause.verb, AUXILIARIES) or not clause.subject or not clause.object:
        return []
    words = [linkage.words[i] for i in (*clause.subject, clause.verb, *clause.object)]
    kept = [word for word in words if word.lower() not in STOP_WORDS]
    return [Reformulation(" ".join(kept), 0.6, "subject, verb, object")]


def noun_phrase(linkage: Linkage, head: int) -> list[Reformulation]:
    phrase = without_question_words(linkage, linkage.noun_phrase(head))
    while phrase and is_one_of(linkage, phrase[0], STOP_WORDS):
        phrase = phrase[1:]
    if not 2 <= len(phrase) <= PHRASE_WORDS_MAX:
        return []
    return [Reformulation(linkage.text(phrase), 0.5, "noun phrase")]


def without_question_words(linkage: Linkage, phrase: list[int]) -> list[int]:
    return [i for i in phrase if not is_one_of(linkage, i, WH_WORDS | {"many", "much"})]


def joined(*parts: str) -> str:
    return " ".join(part for part in parts if part)
