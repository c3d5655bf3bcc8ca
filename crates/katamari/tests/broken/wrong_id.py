"""Breaks one promise: it answers with another id than that of the call."""

from worker import Worker


class Broken(Worker):
    def call(self, number, function, arguments):
        super().call(number + 1, function, arguments)


Broken().run()
