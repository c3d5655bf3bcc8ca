"""Breaks one promise: it answers a call twice."""

from worker import Worker


class Broken(Worker):
    def call(self, number, function, arguments):
        super().call(number, function, arguments)
        super().call(number, function, arguments)


Broken().run()
