"""An answer that is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator

from tidemill.serving.worker.http import Response

Taker = Callable[[Response], None]


class Reply:
    """What a request will be answered with.

    asyncio's futures call back a turn of the loop later; a reply calls at once, since nobody but
    its one taker waits for it. It can be awaited too.
    """

    __slots__ = ("_response", "_taker")

    def __init__(self) -> None:
        self._response: Response | None = None
        self._taker: Taker | None = None

    def __await__(self) -> Generator[None, None, Response]:
        future = asyncio.get_running_loop().create_future()
        self.take(lambda _: None if future.done() else future.set_result(None))
        yield from future
        assert self._response is not None
        return self._response

    def take(self, taker: Taker) -> None:
        """Have the response handed over once it is there."""
        if self._response is None:
            self._taker = taker
        else:
            taker(self._response)

    def resolve(self, response: Response) -> None:
        """Answer; only the first answer counts."""
        if self._response is None:
            self._response = response
            if self._taker is not None:
                self._taker(response)
