"""The way of requests that only write: past ASGI, from the parser to the writer and back.

A training logs its metrics one request at a time and waits for each. Tasks, events and layers of
callables would cost several times what the write itself does, so a connection hands such a request
to the room as soon as its body is there, and sends the answer when the commit is durable. Whatever
is unusual about a request, its headers or its connection goes the ordinary way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tidemill.core.clock import Clock
from tidemill.server.answers import Answers
from tidemill.server.guard import HEADERS, Scope, refusal
from tidemill.server.mlflow.door import Begin, MlflowDoor
from tidemill.server.traffic import Traffic

Reply = Callable[[int, bytes], None]
"""Sends an answer: its status and its JSON."""
HEAD = b"content-type: application/json\r\n" + b"".join(b"%s: %s\r\n" % pair for pair in HEADERS)
"""The headers of every answer, but for its length and what the server adds."""


class Shortcut:
    """Takes requests that only write.

    Args:
        door: Knows them.
        hosts: The names by which the server may be called.
        traffic: Counts them.
        clock: Tells durations.
    """

    def __init__(
        self, door: MlflowDoor, hosts: frozenset[str], traffic: Traffic, clock: Clock
    ) -> None:
        self._door = door
        self._hosts = hosts
        self._traffic = traffic
        self._clock = clock
        self._answers = Answers()

    def find(self, scope: Scope) -> Begin | None:
        """Return what begins the write that is asked for, or nothing where this is not the way."""
        begin = self._door.writer(scope)
        if begin is None or not _says_length(scope) or refusal(scope, self._hosts) is not None:
            return None
        return begin

    def take(
        self, begin: Begin, body: bytes, loop: asyncio.AbstractEventLoop, reply: Reply
    ) -> None:
        """Begin a write; `reply` is called in the event loop when it is durable, or has failed."""
        began = self._clock.monotonic()

        def tell(failure: BaseException | None) -> None:
            status, content = self._door.told(failure)
            self._traffic.count(status, self._clock.monotonic() - began)
            reply(status, content)

        try:
            self._answers.when_durable(begin(body), loop, tell)
        except Exception as error:
            tell(error)


def _says_length(scope: Scope) -> bool:
    return any(name == b"content-length" for name, _ in scope["headers"])
