"""The data plane's application under uvicorn, to compare servers on the finished path.

Run: python -m benchmarks.serving.asgi ROUTES BUNDLES PREDICTIONS PORT
"""

from __future__ import annotations

import asyncio
import random
import sys
from pathlib import Path
from typing import Any

import uvicorn
import uvloop

from tidemill.core.clock import SystemClock
from tidemill.serving.worker.http import Head, Request, Response
from tidemill.serving.worker.process import Worker, listen
from tidemill.serving.worker.settings import Settings


class Asgi:
    """Speaks ASGI to a server and requests to the worker's application."""

    def __init__(self, worker: Worker, clock: SystemClock) -> None:
        self._application = worker.application
        self._clock = clock

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        body = b""
        more = True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        head = Head(scope["method"], scope["path"], headers=dict(scope["headers"]))
        request = Request(head, body, self._clock.monotonic())
        answer = self._application(request)
        response = answer if isinstance(answer, Response) else await answer
        length = b"%d" % len(response.body)
        headers = [(b"content-type", response.content_type), (b"content-length", length)]
        start = {"type": "http.response.start", "status": response.status, "headers": headers}
        await send(start)
        await send({"type": "http.response.body", "body": response.body})


async def main(routes: str, bundles: str, predictions: str, port: str) -> None:
    """Serve until stopped."""
    settings = Settings(
        routes=Path(routes), bundles=Path(bundles), predictions=Path(predictions), port=int(port)
    )
    clock = SystemClock()
    loop = asyncio.get_running_loop()
    worker = Worker(settings, clock=clock, rng=random.Random(0), loop=loop)
    await worker.follow()
    config = uvicorn.Config(
        Asgi(worker, clock), lifespan="off", log_level="error", access_log=False, http="httptools"
    )
    await uvicorn.Server(config).serve(sockets=[listen("127.0.0.1", int(port))])


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
