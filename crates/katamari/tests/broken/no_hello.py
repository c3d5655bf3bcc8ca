"""Breaks one promise: it says nothing at all."""

from worker import Worker


class Broken(Worker):
    def introduce(self):
        pass


Broken().run()
