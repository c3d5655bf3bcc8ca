"""Breaks one promise: it exits with status 1 when told to quit."""

import sys

from worker import Worker


class Broken(Worker):
    def quit(self):
        sys.exit(1)


Broken().run()
