"""A worker of kind `reformulate`: turns a query into weighted queries for a search engine.

    reformulate.py --variant a      from the links of the parse (reformulation/by_links.py)
    reformulate.py --variant b      from its phrases (reformulation/by_phrases.py)

The two are an A/B test: equal kind and API, unequal `variant`. Both ask the parser, and when it
fails them (too slow, out of memory, or just too busy) they make do with the words.
"""

from __future__ import annotations

import argparse
from typing import Any

from katamari import CallError, Worker

from reformulation import by_links, by_phrases
from reformulation.keywords import from_words
from reformulation.linkage import Linkage
from reformulation.weighted import Reformulation, as_asked, ranked

VARIANTS = {"a": by_links.reformulate, "b": by_phrases.reformulate}

# What is left of the deadline when the parser has not answered: ample to work without it.
RESERVE_S = 0.2

# Codes that say that the cluster is set up wrongly. No query gets better by hiding that.
MISTAKES = {"no_pool", "no_function", "bad_request", "bad_arguments", "not_allowed"}


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--variant", choices=VARIANTS, required=True)
    variant = arguments.parse_args().variant
    reformulations_of = VARIANTS[variant]
    worker = Worker("reformulate", versions={"variant": variant}, tags=["en"])

    @worker.function(idempotent=True)
    def reformulate(text: str) -> dict[str, Any]:
        """Other ways to ask for `text`, the most promising first.

        Each has a `text` for the search engine ("*" stands for anything, quotes for a
        phrase), a `weight` from 0 to 1, and `why`. `degraded` tells that there was no
        parse, and `reason` why not, as an error code.
        """
        try:
            patience_s = max(0.0, worker.remaining() - RESERVE_S)
            parse = worker.caller("parse", tags=["en"], timeout=patience_s)
            linkage = Linkage(parse("linkage", text=text))
        except CallError as error:
            if error.code in MISTAKES:
                raise
            return answer(variant, [*from_words(text), as_asked(text)], error.code)
        return answer(variant, [*reformulations_of(text, linkage), as_asked(text)], None)

    worker.run()


def answer(variant: str, found: list[Reformulation], reason: str | None) -> dict[str, Any]:
    return {
        "variant": variant,
        "degraded": reason is not None,
        "reason": reason,
        "reformulations": [item.as_json() for item in ranked(found)],
    }


if __name__ == "__main__":
    main()
