"""A worker in plain Python that keeps the protocol. Each broken worker breaks one thing of it.

It is of no special kind, and has one function, `upper(text: string)`, which streams nothing.
"""

import fcntl
import json
import os
import struct
import sys

HELLO = {
    "kind": "plain",
    "functions": [
        {
            "name": "upper",
            "idempotent": True,
            "parameters": [{"name": "text", "type": "string"}],
        }
    ],
}


class Worker:
    hello = HELLO

    def run(self):
        if "KATAMARI_PROTOCOL" not in os.environ:
            sys.exit(self.by_hand())
        self.claim()
        self.introduce()
        while (frame := self.read()) is not None:
            letter, header, payload = frame
            if letter == "Q":
                self.quit()
            elif letter == "P":
                self.ping()
            elif letter == "C":
                self.call(header["id"], header["function"], json.loads(payload))
            elif letter not in "WXF":
                sys.exit(f"an unknown frame {letter}")
        self.end_of_input()

    # What a broken worker does otherwise.

    def by_hand(self):
        print("try: katamari check -- COMMAND", file=sys.stderr)
        return 64

    def claim(self):
        for descriptor in (3, 4):
            fcntl.fcntl(descriptor, fcntl.F_SETFD, fcntl.FD_CLOEXEC)

    def introduce(self):
        self.write("H", {"protocol": 1}, json.dumps(self.hello).encode())

    def ping(self):
        self.write("O", {})

    def call(self, number, function, arguments):
        text = arguments["text"]
        if isinstance(text, str):
            self.write("R", {"id": number}, json.dumps(text.upper()).encode())
        else:
            self.write("E", {"id": number, "message": "expected a text"})

    def quit(self):
        sys.exit(0)

    def end_of_input(self):
        sys.exit(0)

    # Frames.

    def write(self, letter, header, payload=b""):
        text = json.dumps(header).encode()
        length = 3 + len(text) + len(payload)
        self.send(struct.pack(">IcH", length, letter.encode(), len(text)) + text + payload)

    def send(self, data):
        while data:
            data = data[os.write(4, data) :]

    def read(self):
        prefix = self.read_exactly(7)
        if prefix is None:
            return None
        length, letter, header = struct.unpack(">IcH", prefix)
        text = self.read_exactly(header)
        payload = self.read_exactly(length - 3 - header)
        return letter.decode(), json.loads(text), payload

    def read_exactly(self, size):
        data = b""
        while len(data) < size:
            more = os.read(3, size - len(data))
            if not more:
                return None
            data += more
        return data


if __name__ == "__main__":
    Worker().run()
