"""Breaks one promise: it prints a log line on descriptor 4 when it is called."""

from worker import Worker


class Broken(Worker):
    def call(self, number, function, arguments):
        self.send(b"Loading the dictionary\n")
        super().call(number, function, arguments)


Broken().run()
