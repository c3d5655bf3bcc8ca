"""Several slots: calls side by side, answered in any order."""

import sys
import threading
import unittest

from fake_manager import PACKAGE, Manager

sys.path.insert(0, PACKAGE)

from katamari.describe import describe_worker  # noqa: E402
from katamari.many_slots import ManySlots  # noqa: E402

SLOTS = 4


class Slots(unittest.TestCase):
    def setUp(self) -> None:
        self.manager = Manager("sample.py", str(SLOTS))
        self.addCleanup(self.manager.close)
        self.manager.interrogate()

    def test_calls_run_at_the_same_time_in_a_fixed_pool(self) -> None:
        names = set()
        for _ in range(3):
            calls = {self.manager.send_call("meet") for _ in range(SLOTS)}
            ends = [self.manager.receive() for _ in range(SLOTS)]
            self.assertEqual({end.header["id"] for end in ends}, calls)
            names |= {end.value() for end in ends}
        self.assertEqual(len(names), SLOTS)

    def test_answers_in_any_order(self) -> None:
        slow = self.manager.send_call("wait_for_cancel")
        quick = self.manager.send_call("text_of", [1])
        self.assertEqual(self.manager.receive().header["id"], quick)
        self.manager.send("X", {"id": slow, "reason": "deadline"})
        self.assertEqual(self.manager.receive().value(), "deadline")

    def test_a_cancel_concerns_one_call(self) -> None:
        calls = [self.manager.send_call("wait_for_cancel") for _ in range(2)]
        for call in reversed(calls):
            self.manager.send("X", {"id": call, "reason": f"number {call}"})
            end = self.manager.receive()
            self.assertEqual((end.header["id"], end.value()), (call, f"number {call}"))

    def test_ping_while_every_slot_is_busy(self) -> None:
        calls = [self.manager.send_call("wait_for_cancel") for _ in range(SLOTS)]
        self.manager.send("P", {})
        self.assertEqual(self.manager.receive().type, "O")
        for call in calls:
            self.manager.send("X", {"id": call, "reason": "deadline"})
            self.assertEqual(self.manager.receive().header["id"], call)

    def test_errors_leave_the_slot_alive(self) -> None:
        for _ in range(SLOTS * 2):
            self.assertEqual(self.manager.call("raise_it", ["empty"]).type, "E")
        self.assertEqual(self.manager.call("text_of", [1]).value(), "x")

    def test_large_frames_are_not_interleaved(self) -> None:
        size = 300_000
        calls = {self.manager.send_call("text_of", [size]) for _ in range(SLOTS)}
        for _ in range(SLOTS):
            end = self.manager.receive()
            calls.remove(end.header["id"])
            self.assertEqual(end.value(), "x" * size)

    def test_a_broken_protocol_ends_the_worker(self) -> None:
        self.manager.send("Z", {})
        self.assertEqual(self.manager.exit_status(), 1)
        self.assertIn("ProtocolError", self.manager.log())


class Forks(unittest.TestCase):
    def test_a_child_does_not_wait_for_locks_of_threads_it_does_not_have(self) -> None:
        session = ManySlots(describe_worker("k", {}, (), (), SLOTS), {})
        free = []

        def child() -> None:
            session.detach()
            locks = (session._writing, session._changed)
            free.extend(lock.acquire(blocking=False) for lock in locks)

        with session._writing, session._changed:
            thread = threading.Thread(target=child)
            thread.start()
            thread.join()
        self.assertEqual(free, [True, True])
