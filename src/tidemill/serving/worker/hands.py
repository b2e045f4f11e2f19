"""What a worker has in hand, in memory that outlives it: what came in and is not answered yet.

The kernel writes each connection's bytes straight into its place here, so that nothing is copied
and no byte is ever taken from a socket and kept nowhere. Beside them stands how far the connection
had come. Whoever holds the memory of a worker that was killed learns from it, and from what TCP
itself counts, what is still owed to each client: see `docs/decisions/handover.md`.
"""

from __future__ import annotations

import mmap
import os
import struct

import msgspec

PLACES = 4096
"""As many connections as a worker keeps open."""
SMALL_BYTES = 16 << 10
_LARGE_PLACES = 64
_KEPT_BYTES = 1 << 20
"""A large place gives back the memory beyond this once its request is answered."""
_MARK = struct.Struct("<QQQQQIHH")
_MARK_BYTES = 64
_pack_mark = _MARK.pack_into


class Mark(msgspec.Struct, frozen=True):
    """How far one connection has come; counts are of bytes since it was opened.

    Attributes:
        offset: Where the bytes that are in hand stand in the memory.
        begun: What had come before the first of them.
        before: What had been sent before.
        upto: How many of them the answer is to.
        after: What will have been sent with the answer; 0 where there is none yet.
        attempts: How many workers have died over them.
        lost: Whether they found no room here.
        last: Whether the connection is closed after the answer.
    """

    offset: int
    begun: int
    before: int
    upto: int
    after: int
    attempts: int
    lost: int
    last: int


class Hands:
    """The memory of one worker.

    Args:
        descriptor: Of empty memory.
        largest: The most bytes that one request may have, its head included.
    """

    def __init__(self, descriptor: int, largest: int) -> None:
        self._large_bytes = -(-largest // mmap.PAGESIZE) * mmap.PAGESIZE
        self._small_start = PLACES * _MARK_BYTES
        self._large_start = self._small_start + PLACES * SMALL_BYTES
        size = self._large_start + _LARGE_PLACES * self._large_bytes
        os.ftruncate(descriptor, size)  # Sparse: only what is written to takes memory.
        self._memory = mmap.mmap(descriptor, size)
        self._view = memoryview(self._memory)
        self._free = list(range(PLACES - 1, -1, -1))
        self._free_large = list(range(_LARGE_PLACES - 1, -1, -1))

    def take(self) -> Hand | None:
        """Return a place for a connection, or nothing where all are taken."""
        return Hand(self, self._free.pop()) if self._free else None

    def give_back(self, place: int) -> None:
        """Let a place be taken again."""
        self._free.append(place)

    def small(self, place: int) -> tuple[int, memoryview]:
        """Return where a place stands, and its memory."""
        offset = self._small_start + place * SMALL_BYTES
        return offset, self._view[offset : offset + SMALL_BYTES]

    def take_large(self) -> tuple[int, int, memoryview] | None:
        """Return a large place, where it stands, and its memory; nothing where all are taken."""
        if not self._free_large:
            return None
        place = self._free_large.pop()
        offset = self._large_start + place * self._large_bytes
        return place, offset, self._view[offset : offset + self._large_bytes]

    def give_back_large(self, place: int, used: int) -> None:
        """Let a large place be taken again, and give back most of the memory that it took."""
        if used > _KEPT_BYTES:
            start = self._large_start + place * self._large_bytes + _KEPT_BYTES
            length = -(-(used - _KEPT_BYTES) // mmap.PAGESIZE) * mmap.PAGESIZE
            self._memory.madvise(mmap.MADV_REMOVE, start, length)
        self._free_large.append(place)

    def marks(self) -> mmap.mmap:
        """Return the memory in which each place's mark stands, one after the other."""
        return self._memory


class Hand:
    """One connection's place.

    Args:
        hands: The memory that it is in.
        place: Which one it is.
    """

    __slots__ = (
        "_at",
        "_attempts",
        "_before",
        "_begun",
        "_hands",
        "_large",
        "_lost",
        "_mark_at",
        "_marks",
        "_memory",
        "_offset",
        "place",
    )

    def __init__(self, hands: Hands, place: int) -> None:
        self._hands = hands
        self.place = place
        self._large: int | None = None
        self._lost = False
        self._marks, self._mark_at = hands.marks(), place * _MARK_BYTES
        self._offset, self._memory = hands.small(place)
        self.begin(0, 0)

    def begin(self, begun: int, before: int, attempts: int = 0) -> None:
        """Owe nothing; what comes next is the beginning of a request.

        Args:
            begun: Bytes that have come so far.
            before: Bytes that have been sent so far.
            attempts: How many workers have died over what comes next.
        """
        if self._large is not None or self._lost:
            self._return_large()
            self._lost = False
            self._offset, self._memory = self._hands.small(self.place)
        self._at, self._begun, self._before, self._attempts = 0, begun, before, attempts
        self._mark()

    def room(self) -> memoryview:
        """Return where the next bytes go."""
        if self._at == len(self._memory):
            self._enlarge()
        return self._memory[self._at :] if self._at else self._memory

    def came(self, count: int) -> memoryview:
        """Return the bytes that have come into the room."""
        start = self._at
        self._at += count
        return self._memory[start : self._at]

    def answer(self, after: int, *, last: bool) -> None:
        """Write down, before it is sent, that all in hand has an answer.

        Args:
            after: Bytes that will have been sent with it.
            last: Whether the connection is closed then.
        """
        self._mark(self._at, after, last)

    def release(self) -> None:
        """Give the place back."""
        self._return_large()
        self._hands.give_back(self.place)

    def _enlarge(self) -> None:
        taken = None if self._large is not None or self._lost else self._hands.take_large()
        if taken is None:
            # No worker can repeat what stands nowhere; this one goes on.
            self._lost = True
            self._memory = memoryview(bytearray(SMALL_BYTES))
            self._begun += self._at
            self._at = 0
        else:
            self._large, self._offset, memory = taken
            memory[: self._at] = self._memory
            self._memory = memory
        self._mark()

    def _return_large(self) -> None:
        if self._large is not None:
            self._hands.give_back_large(self._large, self._at)
            self._large = None

    def _mark(self, upto: int = 0, after: int = 0, last: bool = False) -> None:
        _pack_mark(
            self._marks,
            self._mark_at,
            self._offset,
            self._begun,
            self._before,
            upto,
            after,
            self._attempts,
            self._lost,
            last,
        )


def read_mark(descriptor: int, place: int) -> Mark:
    """Return how far a connection had come."""
    return Mark(*_MARK.unpack(os.pread(descriptor, _MARK.size, place * _MARK_BYTES)))
