"""Hello, welcome, and a program that nobody interrogates."""

import os
import unittest

from fake_manager import Manager


class Hello(unittest.TestCase):
    def test_conformance_worker_describes_itself(self) -> None:
        with Manager("conformance.py") as manager:
            hello = manager.interrogate()
        functions = {f["name"]: f for f in hello.pop("functions")}
        self.assertEqual(
            hello,
            {
                "kind": "conformance",
                "versions": {"chassis": "python"},
                "tags": ["conformance"],
                "roles": [],
                "slots": 1,
            },
        )
        self.assertEqual(
            list(functions),
            "echo add fail sleep remaining count measure nested last print leak".split(),
        )
        self.assertEqual(
            functions["add"],
            {
                "name": "add",
                "doc": "Adds.",
                "idempotent": True,
                "stream": False,
                "parameters": [
                    {"name": "a", "type": "integer"},
                    {"name": "b", "type": "integer"},
                    {"name": "c", "type": "integer", "required": False},
                ],
                "result": "integer",
            },
        )
        self.assertTrue(functions["echo"]["idempotent"])
        self.assertFalse(functions["fail"]["idempotent"])
        self.assertEqual([n for n, f in functions.items() if f["stream"]], ["count"])
        inputs = [n for n, f in functions.items() if f.get("input")]
        self.assertEqual(inputs, ["measure"])

    def test_details_and_slots(self) -> None:
        with Manager("sample.py", "3") as manager:
            hello = manager.interrogate()
        self.assertEqual(hello["kind"], "sample")
        self.assertEqual(hello["versions"], {"model": "1.2"})
        self.assertEqual(hello["tags"], ["en", "de"])
        self.assertEqual(hello["roles"], ["r"])
        self.assertEqual(hello["slots"], 3)

    def test_one_of_several_versions_is_picked(self) -> None:
        with Manager("conformance.py", protocol="1,2") as manager:
            self.assertEqual(manager.receive().header, {"protocol": 1})

    def test_ping_and_quit_before_the_welcome(self) -> None:
        with Manager("conformance.py") as manager:
            self.assertEqual(manager.receive().type, "H")
            manager.send("P", {})
            self.assertEqual(manager.receive().type, "O")
            manager.send("Q", {})
            self.assertEqual(manager.exit_status(), 0)

    def test_a_call_before_the_welcome_breaks_the_protocol(self) -> None:
        with Manager("conformance.py") as manager:
            manager.receive()
            manager.send_call("echo", {"value": 1})
            self.assertEqual(manager.exit_status(), 1)
            self.assertIn("ProtocolError", manager.log())


class WithoutManager(unittest.TestCase):
    def assert_refused(self, manager: Manager, *words: str) -> None:
        self.assertEqual(manager.exit_status(), 64)
        for word in (*words, "katamari check -- ", "conformance.py"):
            self.assertIn(word, manager.log())

    def test_started_by_hand(self) -> None:
        with Manager("conformance.py", protocol=None) as manager:
            self.assert_refused(manager, "KATAMARI_PROTOCOL is not set")

    def test_a_protocol_that_it_does_not_speak(self) -> None:
        with Manager("conformance.py", protocol="lines") as manager:
            self.assert_refused(manager, "'lines'", 'dialect "json"')

    def test_descriptors_that_are_not_open(self) -> None:
        with Manager("conformance.py", pipes=False) as manager:
            self.assert_refused(manager, "3 and 4 are not open")


class Children(unittest.TestCase):
    def test_descriptors_are_closed_in_programs_it_starts(self) -> None:
        with Manager("conformance.py") as manager:
            manager.interrogate()
            self.assertIs(manager.call("leak").value(), True)

    def test_the_leak_test_can_see_a_leak(self) -> None:
        """Without close-on-exec, what `leak` runs does find the descriptors."""
        read, write = os.pipe()
        try:
            for end in (read, write):
                os.set_inheritable(end, True)
            self.assertEqual(os.system(f"test -e /proc/self/fd/{read}"), 0)
        finally:
            os.close(read)
            os.close(write)

    def test_the_environment_does_not_promise_them(self) -> None:
        with Manager("sample.py") as manager:
            manager.interrogate()
            self.assertEqual(manager.call("environment").value(), "unset")

    def test_a_child_forked_before_run_has_them_closed(self) -> None:
        with Manager("early_fork.py") as manager:
            manager.interrogate()
            in_child, in_grandchild = manager.call("seen").value()
            self.assertEqual(in_child, [False, False])
            self.assertEqual(in_grandchild, [True, True])  # they are the child's own

    def test_a_forked_child_is_out_of_the_conversation(self) -> None:
        for slots in ("1", "2"):
            with self.subTest(slots=slots), Manager("sample.py", slots) as manager:
                manager.interrogate()
                self.assertEqual(
                    manager.call("fork").value(), ["[False, False, False]"]
                )
                self.assertEqual(manager.call("text_of", [1]).value(), "x")
