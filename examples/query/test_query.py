"""Tests of the example without a cluster: `make test`.

The parser and the reformulators are started by the fake manager of chassis/cpp/tests, which
answers nested calls with what the real parser says.
"""

import pathlib
import sys
import unittest
from collections import Counter

HERE = pathlib.Path(__file__).parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "chassis/cpp/tests"))

import demo  # noqa: E402
import sentences  # noqa: E402
from fake_manager import Manager  # noqa: E402

PARSER = [str(HERE / "build/parser")]
ENVIRONMENT = {"PYTHONPATH": str(ROOT / "chassis/python")}


def reformulator(variant):
    command = [sys.executable, "reformulate.py", "--variant", variant]
    return Manager(command, cwd=HERE, env=ENVIRONMENT)


class ParserTest(unittest.TestCase):
    def setUp(self):
        self.manager = self.enterContext(Manager(PARSER))
        self.hello = self.manager.introduce()

    def test_hello(self):
        self.assertEqual(self.hello["kind"], "parse")
        self.assertRegex(self.hello["versions"]["grammar"], r"^\d+\.\d+\.\d+$")
        function, = self.hello["functions"]
        self.assertEqual((function["name"], function["idempotent"], function["result"]),
                         ("linkage", False, "object"))

    def test_linkage(self):
        parsed = self.manager.result("linkage", {"text": "Who invented the telephone?"})
        self.assertEqual(parsed["words"][1:5], ["who", "invented.v-d", "the", "telephone.n"])
        self.assertIn({"label": "Os", "left": 2, "right": 4}, parsed["links"])
        self.assertEqual(parsed["nulls"], 0)
        self.assertGreater(parsed["linkages"], 0)
        self.assertIn("+-Ds**c-+", parsed["diagram"])
        self.assertIn("(NP the telephone.n)", parsed["tree"])

    def test_leaves_out_words_only_if_it_must(self):
        parsed = self.manager.result("linkage", {"text": "Colorless blorg the of ideas"})
        self.assertGreater(parsed["nulls"], 0)
        self.assertIn("[of]", parsed["words"])

    def test_refuses_what_is_no_sentence(self):
        for text, message in (
            ("", "the sentence is empty"),
            (" \n\t", "the sentence is empty"),
            ("\0word", "the sentence is empty"),
            ("\u00a0", "cannot split the sentence into words"),
            ("dog " * 300, "sentence too long"),
        ):
            with self.subTest(text=text[:10]):
                answer = self.manager.call("linkage", {"text": text})
                self.assertEqual(answer.type, "E")
                self.assertIn(message, answer.header["message"])
        self.assertEqual(self.manager.result("linkage", ["The dog sleeps."])["nulls"], 0)


class ReformulateTest(unittest.TestCase):
    def setUp(self):
        self.parser = self.enterContext(Manager(PARSER))
        self.parser.introduce()
        self.workers = {}
        for variant in "ab":
            self.workers[variant] = self.enterContext(reformulator(variant))
            hello = self.workers[variant].introduce()
            self.assertEqual((hello["kind"], hello["versions"]),
                             ("reformulate", {"variant": variant}))

    def ask(self, variant, text):
        worker = self.workers[variant]
        worker.start_call("reformulate", {"text": text}, timeout_ms=5000)
        nested = worker.receive()
        self.assertEqual(nested.type, "N", nested)
        self.assertEqual(nested.header["details"]["kind"], "parse")
        self.assertLess(nested.header["timeout_ms"], 5000)
        parsed = self.parser.call(nested.header["function"], payload=nested.payload)
        if parsed.type == "R":
            worker.send("A", {"id": nested.header["id"]}, parsed.payload)
        else:
            worker.send("B", {"id": nested.header["id"], "code": "worker_error",
                              "message": parsed.header["message"]})
        return worker.receive().value

    def texts(self, variant, text):
        answer = self.ask(variant, text)
        self.assertEqual((answer["variant"], answer["degraded"]), (variant, False))
        weights = [item["weight"] for item in answer["reformulations"]]
        self.assertEqual(weights, sorted(weights, reverse=True))
        return [item["text"] for item in answer["reformulations"]]

    def test_questions_become_statements(self):
        for question, statements in (
            ("Who invented the telephone?",
             ["* invented the telephone", "the telephone was invented by *"]),
            ("Who built the pyramids of Giza?",
             ["* built the pyramids of Giza", "the pyramids of Giza were built by *"]),
            ("Who wrote the first novel in English?",
             ["* wrote the first novel in English",
              "the first novel in English was written by *"]),
            ("What is the capital of France?",
             ["the capital of France is *", "* is the capital of France"]),
            ("What did Edison invent?", ["Edison invented *"]),
            ("How many legs does a spider have?", ["a spider has * legs"]),
            ("Where was Mozart born?", ["Mozart was born in *"]),
            ("When was the printing press invented?", ["the printing press was invented in *"]),
            ("When did the second world war end?", ["the second world war ended in *"]),
            ("Why is the sea salty?", ["the sea is salty because *"]),
            ("Does sound travel through water?", ["sound travels through water"]),
        ):
            with self.subTest(question=question):
                self.assertEqual(self.texts("a", question)[:len(statements)], statements)

    def test_questions_become_phrases(self):
        for question, query in (
            ("What is the capital of France?", '"capital of France"'),
            ("How many people live in New York City?", '"New York City" people live'),
            ("Has anybody seen the dark side of the moon?",
             '"dark side of the moon" anybody seen'),
        ):
            with self.subTest(question=question):
                self.assertEqual(self.texts("b", question)[0], query)

    def test_every_question_is_reformulated(self):
        for question in sentences.questions():
            for variant in "ab":
                with self.subTest(question=question, variant=variant):
                    self.assertTrue(self.texts(variant, question))

    def test_without_a_parse(self):
        for code in ("deadline", "worker_died", "busy", "worker_error"):
            for variant, worker in self.workers.items():
                worker.start_call("reformulate", {"text": "Where is the Golden Gate Bridge?"})
                id = worker.receive().header["id"]
                worker.send("B", {"id": id, "code": code, "message": "sorry"})
                answer = worker.receive().value
                self.assertEqual((answer["variant"], answer["degraded"], answer["reason"]),
                                 (variant, True, code))
                texts = [item["text"] for item in answer["reformulations"]]
                self.assertEqual(texts, ["Golden Gate Bridge", '"Golden Gate Bridge"',
                                         "Where is the Golden Gate Bridge?"])

    def test_a_wrong_configuration_is_not_hidden(self):
        worker = self.workers["a"]
        worker.start_call("reformulate", {"text": "Do fish sleep?"})
        id = worker.receive().header["id"]
        worker.send("B", {"id": id, "code": "not_allowed", "message": "no"})
        answer = worker.receive()
        self.assertEqual(answer.type, "E")
        self.assertIn("not_allowed", answer.header["message"])

    def test_any_text_has_an_answer(self):
        for text in ("", "the of and", "\u00a0", "(", "'s", "x.n", "[a] {b} (c)", "dog " * 300):
            for variant in "ab":
                with self.subTest(text=text[:10], variant=variant):
                    self.assertEqual(self.ask(variant, text)["variant"], variant)


class SentencesTest(unittest.TestCase):
    def test_mix(self):
        queries = sentences.mix(500, seed=1)
        self.assertEqual(queries, sentences.mix(500, seed=1))
        self.assertNotEqual(queries, sentences.mix(500, seed=2))
        counts = Counter(query.source for query in queries)
        self.assertEqual(sum(counts.values()), 500)
        self.assertGreaterEqual(counts["question"], 60)
        self.assertEqual(counts["monster"], 15)

    def test_monsters_are_within_the_parsers_words(self):
        # Beyond 254 words it refuses, which would be no test of Katamari.
        for monster in sentences.monsters():
            self.assertLess(len(monster.split()), 250)


class VerdictTest(unittest.TestCase):
    """The demo must be able to fail."""

    def outcome(self, number, status=200, variant="ab", degraded=False, source="wordnet"):
        body = {"variant": variant[number % len(variant)], "degraded": degraded,
                "reason": "deadline" if degraded else None, "reformulations": [{"text": "x"}]}
        return demo.Outcome(sentences.Query("text", source), f"user-{number}", status, 1.0,
                            body if status == 200 else {"code": "busy"})

    def good(self):
        outcomes = [self.outcome(number) for number in range(99)]
        return [*outcomes, self.outcome(99, degraded=True, source="monster")]

    def test_all_is_well(self):
        self.assertEqual(demo.unexpected(self.good(), 100), [])

    def test_too_many_failures(self):
        outcomes = self.good()
        outcomes[:6] = [self.outcome(number, status=503) for number in range(6)]
        self.assertEqual(demo.unexpected(outcomes, 100), ["only 94 of 100 queries were answered"])

    def test_answers_that_never_came(self):
        self.assertIn("only 94 of 100", demo.unexpected(self.good()[6:], 100)[0])

    def test_a_key_met_both_variants(self):
        outcomes = self.good()
        outcomes[1].key = "user-0"
        self.assertEqual(demo.unexpected(outcomes, 100), ["user-0 met variants a and b"])

    def test_one_variant_only(self):
        outcomes = [self.outcome(number, variant="a", source="question") for number in range(99)]
        outcomes.append(self.outcome(99, variant="a", degraded=True, source="monster"))
        self.assertEqual(demo.unexpected(outcomes, 100), ["only one variant has answered"])

    def test_harmless_monsters(self):
        outcomes = [*self.good()[:99], self.outcome(99, source="monster")]
        self.assertIn("shows nothing", demo.unexpected(outcomes, 100)[0])


if __name__ == "__main__":
    unittest.main()
