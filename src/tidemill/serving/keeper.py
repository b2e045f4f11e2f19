"""Keeps the workers' connections open when a worker is killed, and hands them to another one.

A worker lends a descriptor of every connection to the keeper. When the worker dies, the keeper
compares what TCP counted on each connection with what the worker's memory says, and so knows
whether a request is unanswered, to the byte. It hands the connection and the request to a living
worker, or to the next one that is started, and holds on to both until that one has lent the
connection in its turn: it may die, too. Only where part of an answer has been sent, or where
requests were sent without waiting for answers, is there nothing to repeat, and the connection is
closed.
"""

from __future__ import annotations

import array
import fcntl
import logging
import os
import selectors
import socket
import struct
import termios
import threading
from collections import deque

import msgspec

from tidemill.serving.worker.hands import read_mark
from tidemill.serving.worker.keeping import (
    MESSAGE_BYTES,
    MOST_AT_ONCE,
    Lent,
    Message,
    Orphan,
    Ready,
)

logger = logging.getLogger(__name__)
_UNSENT = 0x5411  # SIOCOUTQ: bytes that were written and not acknowledged yet
_ENDED = frozenset({8, 9, 11})  # TCP_CLOSE_WAIT, TCP_LAST_ACK, TCP_CLOSING
_ACKED_AND_CAME = struct.Struct("<QQ")
_COUNTS_AT = 120
"""Where `struct tcp_info` has `tcpi_bytes_acked` and `tcpi_bytes_received`."""


class Keeper:
    """Holds what the workers of one port lend it."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._lock = threading.Lock()
        self._waiting: deque[_Left] = deque()
        self._ready: dict[int, _Kept] = {}
        self._next = 0
        self._wake, self._woken = socket.socketpair()
        self._wake.setblocking(False)
        self._selector.register(self._woken, selectors.EVENT_READ, None)
        self._stopping = False
        self._new: list[_Kept] = []
        self._thread = threading.Thread(target=self._run, name="tidemill-keeper", daemon=True)
        self._thread.start()
        self.repeated = 0
        """How many requests were in the hands of a worker that died, and repeated."""
        self.lost = 0
        """How many of them could not be repeated."""

    def place(self) -> tuple[socket.socket, int]:
        """Return the worker's end of a new line, and memory for what it has in hand.

        The caller passes both to the process and closes them.
        """
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        memory = os.memfd_create("tidemill-hands")
        with self._lock:
            self._new.append(_Kept(ours, os.dup(memory)))
        self._wake.send(b"\0")
        return theirs, memory

    def stop(self) -> None:
        """Let go of everything."""
        self._stopping = True
        self._wake.send(b"\0")
        self._thread.join()

    def _run(self) -> None:
        while not self._stopping:
            for key, _ in self._selector.select():
                if key.data is None:
                    self._woken.recv(4096)
                    self._welcome()
                else:
                    self._hear(key.data)
        self._close()

    def _welcome(self) -> None:
        with self._lock:
            new, self._new = self._new, []
        for kept in new:
            self._selector.register(kept.line, selectors.EVENT_READ, kept)

    def _hear(self, kept: _Kept) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(kept.line, MESSAGE_BYTES, MOST_AT_ONCE)
        except OSError:
            data, descriptors = b"", []
        if not data:
            self._inherit(kept)
            return
        message = msgspec.msgpack.decode(data, type=Message)
        if isinstance(message, Ready):
            self._ready[id(kept)] = kept
            self._hand_over()
        else:
            self.repeated += kept.take(message, descriptors)

    def _inherit(self, kept: _Kept) -> None:
        """Find heirs for what a worker leaves."""
        self._selector.unregister(kept.line)
        self._ready.pop(id(kept), None)
        left = kept.left()
        if left:
            logger.warning("a worker left %s connections, which others take over", len(left))
        self._waiting.extend(left)
        kept.close()
        self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self._ready:
            left = self._waiting.popleft()
            self._next += 1
            heir = list(self._ready.values())[self._next % len(self._ready)]
            if left.orphan is None:
                self.lost += 1
                left.close()
                continue
            try:
                heir.give(left, self._next)
            except OSError:
                # It has died too; the line says so in a moment, and others are asked.
                self._ready.pop(id(heir), None)
                self._waiting.appendleft(left)

    def _close(self) -> None:
        for key in list(self._selector.get_map().values()):
            if key.data is not None:
                key.data.close()
        for left in self._waiting:
            left.close()
        self._selector.close()
        self._wake.close()
        self._woken.close()


class _Left:
    """A connection that a worker left behind."""

    def __init__(self, connection: socket.socket, memory: int, orphan: Orphan | None) -> None:
        self.connection = connection
        self.memory = os.dup(memory)
        self.orphan = orphan

    def unless_touched(self) -> _Left:
        """Return what is owed still, if the worker that was to take it over has done nothing."""
        try:
            counts = _counts(self.connection)
        except OSError:
            counts = None
        if self.orphan is not None and counts != (self.orphan.came, self.orphan.sent):
            self.orphan = None
        return self

    def close(self) -> None:
        self.connection.close()
        os.close(self.memory)


class _Kept:
    """What one worker lends."""

    def __init__(self, line: socket.socket, memory: int) -> None:
        self.line = line
        self._memory = memory
        self._connections: dict[int, socket.socket] = {}
        self._given: dict[int, _Left] = {}

    def give(self, left: _Left, number: int) -> None:
        """Hand over what another worker left.

        Raises:
            OSError: This one has died, too.
        """
        assert left.orphan is not None
        data = msgspec.msgpack.encode(msgspec.structs.replace(left.orphan, number=number))
        socket.send_fds(self.line, [data], [left.connection.fileno(), left.memory])
        self._given[number] = left

    def take(self, lent: Lent, descriptors: list[int]) -> int:
        """Hold what is lent; return how many requests of others have been taken over with it."""
        repeated = 0
        for number in lent.taken:
            left = self._given.pop(number, None)
            if left is not None:
                repeated += left.orphan is not None and left.orphan.length > 0
                left.close()
        given = iter(descriptors)
        for place, opened in zip(lent.places, lent.opened, strict=True):
            old = self._connections.pop(place, None)
            if old is not None:
                old.close()
            if opened and (descriptor := next(given, None)) is not None:
                self._connections[place] = socket.socket(fileno=descriptor)
        return repeated

    def left(self) -> list[_Left]:
        """Return the connections of a worker that has died, those too that it never took over."""
        connections, self._connections = self._connections, {}
        given, self._given = self._given, {}
        return [
            *(left.unless_touched() for left in given.values()),
            *(
                _Left(connection, self._memory, _orphan(connection, self._memory, place))
                for place, connection in connections.items()
            ),
        ]

    def close(self) -> None:
        for connection in self._connections.values():
            connection.close()
        for left in self._given.values():
            left.close()
        self.line.close()
        os.close(self._memory)


def _orphan(connection: socket.socket, memory: int, place: int) -> Orphan | None:
    """Return what is owed on a connection; nothing where that cannot be told or made good."""
    try:
        came, sent = _counts(connection)
        mark = read_mark(memory, place)
    except OSError:
        return None
    in_hand = came - mark.begun
    if mark.lost or in_hand < mark.upto:
        return None
    if sent == mark.before:
        attempts = mark.attempts + 1 if in_hand else 0
        return Orphan(came, sent, mark.offset, in_hand, attempts)
    if sent == mark.after and not mark.last:
        return Orphan(came, sent, mark.offset + mark.upto, in_hand - mark.upto, 0)
    return None


def _counts(connection: socket.socket) -> tuple[int, int]:
    """Return how many bytes were read from a connection, and how many written to it."""
    while True:
        acked, came = _tcp(connection)
        unsent, unread = _queued(connection, _UNSENT), _queued(connection, termios.FIONREAD)
        if _tcp(connection) == (acked, came):
            return came - unread, acked + unsent


def _tcp(connection: socket.socket) -> tuple[int, int]:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    acked, came = _ACKED_AND_CAME.unpack_from(info, _COUNTS_AT)
    # That the client has ended its side is counted as a byte.
    return acked, came - (info[0] in _ENDED)


def _queued(connection: socket.socket, what: int) -> int:
    number = array.array("i", [0])
    fcntl.ioctl(connection.fileno(), what, number)
    return number[0]
