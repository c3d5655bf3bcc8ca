"""Breaks one promise: it dies of a cancel for a call that it does not have."""

import sys

from worker import Worker


class Broken(Worker):
    def read(self):
        frame = super().read()
        if frame is not None and frame[0] == "X":
            sys.exit("no such call")
        return frame


Broken().run()
