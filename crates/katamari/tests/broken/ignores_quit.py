"""Breaks one promise: it reads on after a quit."""

from worker import Worker


class Broken(Worker):
    def quit(self):
        pass


Broken().run()
