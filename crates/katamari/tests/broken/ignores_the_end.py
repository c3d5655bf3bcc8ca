"""Breaks one promise: it lives on at the end of its input."""

import signal

from worker import Worker


class Broken(Worker):
    def end_of_input(self):
        signal.pause()


Broken().run()
