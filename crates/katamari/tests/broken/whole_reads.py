"""Breaks one promise: it takes what one read gives for a whole frame."""

import os

from worker import Worker


class Broken(Worker):
    def read_exactly(self, size):
        return os.read(3, size) or None


Broken().run()
