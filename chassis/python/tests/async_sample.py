"""A worker with async functions for `test_async`. Its argument: the number of slots."""

import asyncio
import sys
import threading
from typing import Any, AsyncIterator, Dict, List, Optional

from katamari import Payload, Worker

worker = Worker("sample", slots=int(sys.argv[1]))
present = 0
log: List[str] = []


@worker.function
async def meet(count: int) -> str:
    """Returns when so many calls are here; its result is the thread's name."""
    global present
    present += 1
    while present < count:
        await asyncio.sleep(0.001)
    return threading.current_thread().name


@worker.function
async def about() -> Dict[str, Any]:
    """What the call says of itself, in its task, a task of it, and a thread."""

    async def in_task() -> Optional[str]:
        await asyncio.sleep(0)
        return worker.call_key

    await asyncio.sleep(0.01)
    return {
        "here": worker.call_key,
        "task": await asyncio.create_task(in_task()),
        "executor": await _in_thread(),
        "remaining": worker.remaining(),
    }


async def _in_thread() -> Optional[str]:
    import contextvars

    context = contextvars.copy_context()  # asyncio.to_thread is newer than Python 3.9.0
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(None, context.run, lambda: worker.call_key)


@worker.function
async def wait() -> None:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        log.append(f"cancelled {worker.call_key}")
        raise


@worker.function
async def stubborn() -> str:
    try:
        await asyncio.Event().wait()
    except asyncio.CancelledError:
        await asyncio.sleep(0.01)
    return "all the same"


@worker.function
async def pieces(size: int) -> AsyncIterator[str]:
    try:
        while True:
            yield "x" * size
    finally:
        await asyncio.sleep(0)
        log.append("closed")


@worker.function
async def bytes_of(data: bytes) -> AsyncIterator[Payload]:
    yield Payload(data, "image/png")


@worker.function
async def both() -> List[Any]:
    calls = (worker.acall("other.double", number=number) for number in (1, 2))
    return list(await asyncio.gather(*calls))


tasks: List["asyncio.Task[None]"] = []


@worker.function
async def forgetful() -> None:
    """Starts a task that calls the cluster, and does not wait for it."""

    async def ask() -> None:
        try:
            await worker.acall("other.double", 1)
        except asyncio.CancelledError:
            log.append("cancelled")
        try:
            await worker.acall("other.double", 2)
        except RuntimeError as error:
            log.append(str(error))

    tasks.append(asyncio.create_task(ask()))
    await asyncio.sleep(0)


@worker.function
async def blocking_call() -> Any:
    return worker.call("other.double", 1)


@worker.function
async def leave() -> None:
    sys.exit(3)


@worker.function
def plain_wait() -> str:
    """Not async: holds up its own thread and nobody else."""
    while not worker.cancelled:
        threading.Event().wait(0.001)
    return threading.current_thread().name


@worker.function
def plain_acall() -> Any:
    return asyncio.run(worker.acall("other.double", 1))


@worker.function
def read_log() -> List[str]:
    return log


worker.run()
