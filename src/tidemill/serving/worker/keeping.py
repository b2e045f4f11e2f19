"""A worker's line to its keeper: lends it every connection, and takes over what others leave.

The keeper (`serving/keeper.py`) holds a descriptor of each connection, so that a client stays
connected when its worker is killed; then it hands the connection, with what was in hand, to
another worker. A worker without a keeper, or whose keeper has died, serves on unprotected.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from contextlib import suppress

import msgspec

logger = logging.getLogger(__name__)
MESSAGE_BYTES = 64 << 10
MOST_AT_ONCE = 200
"""How many descriptors one message carries; the kernel takes 253."""


class Lent(msgspec.Struct, array_like=True, tag=True):
    """Connections that were opened (with a descriptor each, in this order) or closed.

    Attributes:
        places: Which places of the worker's memory they have.
        opened: For each place, whether it was opened.
        taken: The numbers of those among them that another worker left, and of such as have ended.
    """

    places: list[int]
    opened: list[bool]
    taken: list[int] = []


class Ready(msgspec.Struct, array_like=True, tag=True):
    """The worker answers from now on."""


class Orphan(msgspec.Struct, array_like=True, tag=True):
    """A connection that a worker left, with its descriptor and that of the worker's memory.

    Attributes:
        came: Bytes that have been read from it.
        sent: Bytes that have been written to it.
        offset: Where what is in hand stands in the memory.
        length: How many bytes are in hand; 0 where nothing is owed.
        attempts: How many workers have died over them.
        number: By which the keeper knows the connection until it has been lent again.
    """

    came: int
    sent: int
    offset: int
    length: int
    attempts: int
    number: int = 0


Message = Lent | Ready
Adopt = Callable[[socket.socket, Orphan, bytes], None]


class Keeping:
    """The line.

    Args:
        line: A socket to the keeper that keeps messages apart.
        loop: The worker's event loop.
        adopt: Takes a connection over.
    """

    def __init__(self, line: socket.socket, loop: asyncio.AbstractEventLoop, adopt: Adopt) -> None:
        self._line: socket.socket | None = line
        self._loop = loop
        self._adopt = adopt
        self._opened: dict[int, int] = {}
        self._closed: list[int] = []
        self._taken: list[int] = []
        self._asked = False
        self._is_ready = False
        line.setblocking(False)
        loop.add_reader(line.fileno(), self._receive)

    def ready(self) -> None:
        """Say that connections may be handed over."""
        self._is_ready = True
        self._soon()

    def opened(self, place: int, descriptor: int, number: int = 0) -> None:
        """Lend a connection, at once: until the keeper has it, it ends with the worker.

        Args:
            place: Its place in the worker's memory.
            descriptor: Of the connection.
            number: Of one that another worker left.
        """
        self._opened[place] = descriptor
        if number:
            self._taken.append(number)
        if not self._asked:
            self._send()

    def ended(self, number: int) -> None:
        """Say that a connection which another worker left came to nothing."""
        self._taken.append(number)
        self._soon()

    def closed(self, place: int) -> None:
        """Ask for a connection back, before it is closed here."""
        if self._opened.pop(place, None) is None:
            self._closed.append(place)
            self._soon()

    def close(self) -> None:
        """Hang up."""
        if self._line is not None:
            self._loop.remove_reader(self._line.fileno())
            self._loop.remove_writer(self._line.fileno())
            self._line.close()
            self._line = None

    def _soon(self) -> None:
        if not self._asked and self._line is not None:
            self._asked = True
            self._loop.call_soon(self._send)

    def _send(self) -> None:
        self._asked = False
        if self._line is None:
            return
        try:
            self._send_all(self._line)
            self._loop.remove_writer(self._line.fileno())
        except BlockingIOError:
            self._asked = True
            self._loop.add_writer(self._line.fileno(), self._send)
        except OSError as error:
            self._lose(error)

    def _send_all(self, line: socket.socket) -> None:
        # What is closed goes first: its place may have been taken again since.
        while self._closed:
            some = self._closed[:MOST_AT_ONCE]
            line.send(msgspec.msgpack.encode(Lent(some, [False] * len(some))))
            del self._closed[: len(some)]
        while self._opened:
            places = list(self._opened)[:MOST_AT_ONCE]
            lent = Lent(places, [True] * len(places), self._taken)
            descriptors = [self._opened[place] for place in places]
            socket.send_fds(line, [msgspec.msgpack.encode(lent)], descriptors)
            self._taken = []
            for place in places:
                del self._opened[place]
        if self._taken:
            line.send(msgspec.msgpack.encode(Lent([], [], self._taken)))
            self._taken = []
        if self._is_ready:
            line.send(msgspec.msgpack.encode(Ready()))
            self._is_ready = False

    def _receive(self) -> None:
        while self._line is not None:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._line, MESSAGE_BYTES, 2)
            except BlockingIOError:
                return
            except OSError as error:
                self._lose(error)
                return
            if not data:
                self._lose(None)
                return
            self._take_over(data, descriptors)

    def _take_over(self, data: bytes, descriptors: list[int]) -> None:
        if len(descriptors) != 2:
            logger.error("a connection came without its descriptors")
            for descriptor in descriptors:
                os.close(descriptor)
            return
        orphan = msgspec.msgpack.decode(data, type=Orphan)
        connection, memory = socket.socket(fileno=descriptors[0]), descriptors[1]
        try:
            in_hand = os.pread(memory, orphan.length, orphan.offset)
        finally:
            os.close(memory)
        self._adopt(connection, orphan, in_hand)

    def _lose(self, error: OSError | None) -> None:
        logger.warning("the keeper has gone (%s); connections are kept by nobody", error or "end")
        self.close()


def descriptor_of(transport: asyncio.BaseTransport) -> int | None:
    """Return the descriptor of a connection from outside; other workers' are kept by nobody."""
    found = transport.get_extra_info("socket")
    if found is None or found.family == socket.AF_UNIX:
        return None
    descriptor: int = found.fileno()
    return descriptor


def shut(transport: asyncio.BaseTransport) -> None:
    """End a connection for the client too, though the keeper holds it for a moment longer."""
    descriptor = descriptor_of(transport)
    if descriptor is None:
        return
    with suppress(OSError), socket.socket(fileno=os.dup(descriptor)) as ended:
        ended.shutdown(socket.SHUT_RDWR)
