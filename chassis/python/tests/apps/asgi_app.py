"""An ASGI application with a lifespan."""

import asyncio


async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        assert (await receive())["type"] == "lifespan.startup"
        scope["state"]["started"] = True
        await send({"type": "lifespan.startup.complete"})
        assert (await receive())["type"] == "lifespan.shutdown"
        print("shut down", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if path == "/early":
        raise KeyError("before the response")
    if path == "/wait":
        try:
            await receive()
            await receive()
        except asyncio.CancelledError:
            print("let go", flush=True)
            raise
    if path == "/sizes":
        sizes, more = [], True
        while more:
            message = await receive()
            sizes += [len(message["body"])] if message["body"] else []
            more = message["more_body"]
        await say(send, str(sizes))
        return
    body = (await receive())["body"]
    if path == "/first":
        await say(send, str(len(body)))
        while (await receive())["type"] != "http.disconnect":
            pass
        print("then http.disconnect", flush=True)
        return
    headers = [(b"content-type", b"text/plain"), (b"x-a", b"\xe9")]
    await send({"type": "http.response.start", "status": 201, "headers": headers})
    if path == "/long":
        part = {"type": "http.response.body", "body": b"x" * 1000, "more_body": True}
        for _ in range(1000):
            await send(part)
        await send({"type": "http.response.body"})
        return
    said = (
        scope["method"],
        path,
        scope["raw_path"].decode(),
        scope["query_string"].decode(),
        str(scope["state"]),
        body.decode("latin-1"),
    )
    text = "\n".join(said).encode("utf-8")
    await send({"type": "http.response.body", "body": text})


async def say(send, text):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text.encode()})


async def sick(scope, receive, send):
    await receive()
    await send({"type": "lifespan.startup.failed", "message": "no database"})


async def bare(scope, receive, send):
    assert scope["type"] == "http", "knows no lifespan"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"bare"})
