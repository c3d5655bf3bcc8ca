"""A worker that reads inputs, for `test_inputs`.

python3 input_sample.py plain|async SLOTS
"""

import asyncio
import io
import sys
import threading
from typing import Any, AsyncIterator, Iterator, List

from katamari import Worker

flavour, slots = sys.argv[1], int(sys.argv[2])
worker = Worker("sample", slots=slots)


def plain() -> None:
    @worker.function(input=True)
    def mirror() -> Iterator[bytes]:
        """Answers each piece with itself."""
        yield from worker.input

    @worker.function(input=True)
    def reads(sizes: List[int]) -> List[Any]:
        """What reads of these sizes give, and whether more would come."""
        parts = [worker.input.read(size).decode() for size in sizes]
        return [*parts, worker.input.exhausted]

    @worker.function(input=True)
    def sort() -> Any:
        worker.input.unread(worker.input.read(1))
        return [worker.input.read().decode(), worker.input.content_type]

    @worker.function(input=True)
    def lines() -> List[str]:
        return [line.decode() for line in io.BufferedReader(worker.input)]

    @worker.function(input=True)
    def asks() -> Any:
        """Calls the cluster with the first piece, then reads the rest."""
        first = next(worker.input).decode()
        return [worker.call("other.thing", first), worker.input.read().decode()]

    @worker.function
    def undeclared() -> List[Any]:
        return [worker.input.given, worker.input.read().decode()]

    @worker.function(input=True)
    def from_a_thread() -> str:
        caught: List[str] = []

        def read() -> None:
            try:
                worker.input.read()
            except RuntimeError as error:
                caught.append(str(error))

        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
        return caught[0] if caught else "empty"


def asynchronous() -> None:
    @worker.function(input=True)
    async def mirror() -> AsyncIterator[bytes]:
        async for piece in worker.input:
            yield piece

    @worker.function(input=True)
    async def reads(sizes: List[int]) -> List[Any]:
        parts = [(await worker.input.aread(size)).decode() for size in sizes]
        return [*parts, worker.input.exhausted]

    @worker.function(input=True)
    async def asks() -> Any:
        first = (await worker.input.__anext__()).decode()
        value, rest = await asyncio.gather(
            worker.acall("other.thing", first), worker.input.aread()
        )
        return [value, rest.decode()]

    @worker.function
    async def undeclared() -> List[Any]:
        return [worker.input.given, (await worker.input.aread()).decode()]

    @worker.function(input=True)
    async def blocks() -> bytes:
        return worker.input.read()

    @worker.function(input=True)
    async def cleans_up(ms: int) -> None:
        try:
            await worker.input.aread()
        finally:
            await asyncio.sleep(ms / 1000)
            print("cleaned up", flush=True)


asynchronous() if flavour == "async" else plain()
worker.run()
