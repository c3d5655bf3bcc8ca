"""Breaks one promise: it says hello twice."""

from worker import Worker


class Broken(Worker):
    def introduce(self):
        super().introduce()
        super().introduce()


Broken().run()
