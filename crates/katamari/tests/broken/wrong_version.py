"""Breaks one promise: it picks the first version it is offered, which it cannot speak."""

import json
import os

from worker import Worker


class Broken(Worker):
    def introduce(self):
        version = int(os.environ["KATAMARI_PROTOCOL"].split(",")[0])
        self.write("H", {"protocol": version}, json.dumps(self.hello).encode())


Broken().run()
