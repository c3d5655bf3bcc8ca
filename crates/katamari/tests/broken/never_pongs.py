"""Breaks one promise: it reads pings and does not answer."""

from worker import Worker


class Broken(Worker):
    def ping(self):
        pass


Broken().run()
