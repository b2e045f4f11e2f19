"""Keeps the log of a running step small, however much it prints, without losing how it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path
from typing import Self

HEAD = 1 << 20
TAIL = 1 << 20
_BUFFER = 1 << 20
_PIECE = 1 << 16
_PIECES = 64


class StepLog:
    """The log file of a step: its beginning and its end stay, the middle is left out.

    The child prints into a pipe, and only its owner writes the file: a file cannot be cut while
    somebody else appends to it without losing what is printed in that moment, which may be why the
    step failed. What is in the pipe outlives a child that is killed.

    Args:
        path: The file; it need not exist yet.
        pipe: Where the named pipe is made, for the child to open.
        head: How many bytes stay of the beginning.
        tail: How many stay of the end.
    """

    def __init__(self, path: Path, pipe: Path, *, head: int = HEAD, tail: int = TAIL) -> None:
        self._path = path
        self._pipe = pipe
        self._head = head
        self._tail = tail
        self._left_out = 0
        self._reader = -1

    def __enter__(self) -> Self:
        """Make the pipe."""
        os.mkfifo(self._pipe, 0o600)
        # Open for writing, too: it has no end then, whoever opens and closes it.
        self._reader = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # above what the system allows, the usual 64 KiB do
            fcntl.fcntl(self._reader, fcntl.F_SETPIPE_SZ, _BUFFER)
        return self

    def __exit__(self, *_: object) -> None:
        """Take what is left, and close."""
        self.take()
        os.close(self._reader)

    def take(self) -> bool:
        """Write what has been printed to the file; say whether there was more than it takes."""
        pieces: list[bytes] = []
        with contextlib.suppress(BlockingIOError):
            while len(pieces) < _PIECES:
                pieces.append(os.read(self._reader, _PIECE))
        if pieces:
            self._write(b"".join(pieces))
        return len(pieces) == _PIECES

    def _write(self, printed: bytes) -> None:
        try:
            with self._path.open("ab", buffering=0) as file:
                file.write(printed)
                size = file.tell()
            if size >= 2 * (self._head + self._tail):
                self._cut(size)
        except OSError:  # the disk is full: the step goes on
            self._left_out += len(printed)

    def _cut(self, size: int) -> None:
        with self._path.open("rb") as file:
            file.seek(size - self._tail)
            end = file.read(self._tail)
        self._left_out += size - self._head - self._tail
        os.truncate(self._path, self._head)
        note = f"\n[Tidemill left out about {self._left_out:,} bytes here.]\n"
        with self._path.open("ab", buffering=0) as file:
            file.write(note.encode() + end)
