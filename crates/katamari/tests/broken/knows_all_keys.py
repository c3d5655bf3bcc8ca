"""Breaks one promise: it refuses keys that it does not know."""

import sys

from worker import Worker


class Broken(Worker):
    def read(self):
        frame = super().read()
        if frame is not None and "motto" in frame[1]:
            sys.exit("an unknown key")
        return frame


Broken().run()
