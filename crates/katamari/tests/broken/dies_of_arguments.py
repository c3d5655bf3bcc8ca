"""Breaks one promise: it lets an exception end it."""

import json

from worker import Worker


class Broken(Worker):
    def call(self, number, function, arguments):
        self.write("R", {"id": number}, json.dumps(arguments["text"].upper()).encode())


Broken().run()
