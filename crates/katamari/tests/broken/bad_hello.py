"""Breaks one promise: it announces a type that there is not."""

from worker import Worker


class Broken(Worker):
    hello = {
        "kind": "plain",
        "functions": [{"name": "f", "parameters": [{"name": "x", "type": "text"}]}],
    }


Broken().run()
