"""Breaks one promise: it started by hand, exits with status 1."""

from worker import Worker


class Broken(Worker):
    def by_hand(self):
        super().by_hand()
        return 1


Broken().run()
