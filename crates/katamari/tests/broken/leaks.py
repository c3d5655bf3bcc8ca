"""Breaks one promise: it leaves descriptors 3 and 4 to its children."""

import os

from worker import Worker


class Broken(Worker):
    def claim(self):
        os.set_inheritable(3, True)
        os.set_inheritable(4, True)


Broken().run()
