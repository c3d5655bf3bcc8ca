#!/usr/bin/env python3
"""Sends queries to the running example, all at once, and says how it went.

    demo.py --ready-file FILE      FILE as `katamari up --ready-file FILE` writes it

Some of the queries break the parser. Every caller must get an answer nevertheless, and a caller
must always meet the same variant. If not, the exit status is 1.
"""

from __future__ import annotations

import argparse
import http.client
import json
import pathlib
import queue
import sys
import threading
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any, Optional

from sentences import Query, mix

USERS = 40  # keys: each query belongs to one of so many users
ANSWERED_MIN_PERCENT = 95
READY_PATIENCE_S = 60
ANSWER_PATIENCE_S = 30  # far beyond every timeout of the configuration
SAMPLES = 6


@dataclass
class Outcome:
    query: Query
    key: str
    status: int
    latency_ms: float
    body: Any  # the answer, or the problem; text if it is no JSON

    @property
    def answered(self) -> bool:
        return self.status == 200

    @property
    def degraded(self) -> bool:
        return self.answered and self.body["degraded"]

    @property
    def variant(self) -> Optional[str]:
        return self.body["variant"] if self.answered else None

    @property
    def code(self) -> str:
        return self.body.get("code", "?") if isinstance(self.body, dict) else "?"


@dataclass
class Run:
    """The work of all threads: what is left to ask, and what came of it."""

    waiting: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)
    outcomes: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)


def main() -> int:
    arguments = parse_arguments()
    address = address_of(arguments.ready_file)
    wait_until_ready(address)
    queries = mix(arguments.count, arguments.seed)
    print(f"{len(queries)} queries of {USERS} users to http://{address}, "
          f"{arguments.threads} at a time")
    before = programs(address)
    outcomes = ask_all(address, queries, arguments.threads)
    after = programs(address)
    show_samples(outcomes)
    show_summary(outcomes)
    show_programs(before, after)
    problems = unexpected(outcomes, len(queries))
    for problem in problems:
        print(f"UNEXPECTED: {problem}", file=sys.stderr)
    return 1 if problems else 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ready-file", type=pathlib.Path, required=True)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


# Asking


def address_of(ready_file: pathlib.Path) -> str:
    """The address of the HTTP faceplate, once it is known."""
    end = time.monotonic() + READY_PATIENCE_S
    while True:
        try:
            return json.loads(ready_file.read_text(encoding="utf-8"))["http"]
        except (FileNotFoundError, json.JSONDecodeError):
            if time.monotonic() > end:
                raise SystemExit(f"{ready_file} did not appear; is katamari up?") from None
            time.sleep(0.05)


def get(address: str, path: str) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(address, timeout=ANSWER_PATIENCE_S)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def wait_until_ready(address: str) -> None:
    end = time.monotonic() + READY_PATIENCE_S
    said = b"no answer"
    while time.monotonic() < end:
        try:
            status, said = get(address, "/readyz")
        except OSError as error:
            status, said = 0, str(error).encode()
        if status == 200:
            return
        time.sleep(0.05)
    raise SystemExit(f"http://{address}/readyz is not ready: {said.decode(errors='replace')}")


def programs(address: str) -> dict[str, dict[str, Any]]:
    _, body = get(address, "/status")
    return {program["name"]: program for program in json.loads(body)["programs"]}


def ask_all(address: str, queries: list[Query], threads: int) -> list[Outcome]:
    run = Run()
    for number, query in enumerate(queries):
        run.waiting.put((query, f"user-{number % USERS}"))
    for _ in range(threads):
        threading.Thread(target=ask_in_turn, args=(address, run), daemon=True).start()
    outcomes: list[Outcome] = []
    for done in range(1, len(queries) + 1):
        try:
            outcomes.append(run.outcomes.get(timeout=2 * ANSWER_PATIENCE_S))
        except queue.Empty:
            print("no thread has got an answer for a minute; going on with what there is")
            break
        show_progress(done, len(queries), outcomes)
    return outcomes


def ask_in_turn(address: str, run: Run) -> None:
    """One thread: one connection, kept open, one query after the other."""
    connection = http.client.HTTPConnection(address, timeout=ANSWER_PATIENCE_S)
    while True:
        try:
            query, key = run.waiting.get_nowait()
        except queue.Empty:
            return
        start = time.monotonic()
        try:
            connection.request(
                "POST", "/call/reformulate/reformulate", json.dumps({"text": query.text}),
                {"content-type": "application/json", "katamari-key": key})
            response = connection.getresponse()
            status, body = response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            connection.close()  # the next request opens it again
            status, body = 0, str(error).encode()
        latency_ms = (time.monotonic() - start) * 1000
        run.outcomes.put(Outcome(query, key, status, latency_ms, value_of(body)))


def value_of(body: bytes) -> Any:
    try:
        return json.loads(body)
    except ValueError:
        return body.decode(errors="replace")


# Showing


def show_progress(done: int, total: int, outcomes: list[Outcome]) -> None:
    line = (f"{done} of {total} done, {sum(o.degraded for o in outcomes)} without a parse, "
            f"{sum(not o.answered for o in outcomes)} failed")
    if sys.stdout.isatty():
        print(f"\r{line}", end="\n" if done == total else "", flush=True)
    elif done % 100 == 0 or done == total:
        print(line, flush=True)


def shortened(text: str, columns: int = 72) -> str:
    return text if len(text) <= columns else text[:columns - 3] + "..."


def show_samples(outcomes: list[Outcome]) -> None:
    """A few good answers of each variant, and one without a parse."""
    good = {v: [o for o in outcomes if o.variant == v and not o.degraded
                and o.query.source == "question"] for v in "ab"}
    chosen = good["a"][:SAMPLES // 2] + good["b"][:SAMPLES // 2]
    chosen += [o for o in outcomes if o.degraded][:1]
    for outcome in chosen:
        note = f", no parse: {outcome.body['reason']}" if outcome.degraded else ""
        print(f"\n{shortened(outcome.query.text)}   (variant {outcome.variant}{note})")
        for item in outcome.body["reformulations"][:4]:
            print(f"  {item['weight']:4.2f}  {shortened(item['text']):<50}  {item['why']}")


def percentile(values: list[float], percent: int) -> str:
    if not values:
        return "-"
    ordered = sorted(values)
    return f"{ordered[min(len(ordered) - 1, len(ordered) * percent // 100)]:.1f}"


def show_summary(outcomes: list[Outcome]) -> None:
    groups = {"a": [o for o in outcomes if o.variant == "a"],
              "b": [o for o in outcomes if o.variant == "b"], "all": outcomes}
    failed = Counter(o.code for o in outcomes if not o.answered)
    reasons = Counter(o.body["reason"] for o in outcomes if o.degraded)
    rows = {
        "answered": lambda group: sum(o.answered for o in group),
        "  of these without a parse": lambda group: sum(o.degraded for o in group),
        "timed out": lambda group: sum(o.code == "deadline" for o in group if not o.answered),
        "failed otherwise": lambda group: sum(
            o.code != "deadline" for o in group if not o.answered),
        "p50, ms": lambda group: percentile([o.latency_ms for o in group], 50),
        "p99, ms": lambda group: percentile([o.latency_ms for o in group], 99),
    }
    print(f"\n{'':<28}{'variant a':>12}{'variant b':>12}{'all':>12}")
    for name, count in rows.items():
        print(f"{name:<28}" + "".join(f"{count(group)!s:>12}" for group in groups.values()))
    for what, counts in (("without a parse", reasons), ("failed", failed)):
        if counts:
            named = ", ".join(f"{code} {count}" for code, count in counts.most_common())
            print(f"{what} because of: {named}")


def show_programs(before: dict[str, Any], after: dict[str, Any]) -> None:
    for name, program in after.items():
        earlier = before.get(name, {})
        counts = ", ".join(f"{program[key] - earlier.get(key, 0)} {key}"
                           for key in ("starts", "failures", "retirements"))
        print(f"program {name}: {program['state']}, in this run {counts}")


def unexpected(outcomes: list[Outcome], asked: int) -> list[str]:
    problems = []
    answered = [o for o in outcomes if o.answered]
    if len(answered) * 100 < asked * ANSWERED_MIN_PERCENT:
        problems.append(f"only {len(answered)} of {asked} queries were answered")
    met: dict[str, set[str]] = defaultdict(set)
    for outcome in answered:
        met[outcome.key].add(outcome.variant)
    for key, variants in sorted(met.items()):
        if len(variants) > 1:
            problems.append(f"{key} met variants {' and '.join(sorted(variants))}")
    if len({o.variant for o in answered}) < 2:
        problems.append("only one variant has answered")
    survived = [o for o in answered if o.query.source == "monster" and not o.degraded]
    if len(survived) == sum(o.query.source == "monster" for o in outcomes):
        problems.append("no query was too much for the parser: this run shows nothing")
    empty = [o for o in answered if not o.body["reformulations"]]
    if empty:
        problems.append(f"no reformulation of {shortened(empty[0].query.text)!r}")
    return problems


if __name__ == "__main__":
    sys.exit(main())
