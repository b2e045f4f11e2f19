"""Keeps the log of a running step small, however much it prints."""

from __future__ import annotations

import os
from pathlib import Path

HEAD = 1 << 20
TAIL = 1 << 20


class CappedLog:
    """The log file of a step: its beginning and its end stay, the middle is left out.

    The child writes straight into the file, in append mode, so that nothing which it prints is
    lost when it is killed. What it prints in the very moment of a cut may go missing.

    Args:
        path: The file; it need not exist yet.
        head: How many bytes stay of the beginning.
        tail: How many stay of the end.
    """

    def __init__(self, path: Path, *, head: int = HEAD, tail: int = TAIL) -> None:
        self._path = path
        self._head = head
        self._tail = tail
        self._left_out = 0

    def cut(self) -> None:
        """Leave out the middle where the file has grown to twice of what stays."""
        try:
            size = self._path.stat().st_size
        except FileNotFoundError:
            return
        if size < 2 * (self._head + self._tail):
            return
        with self._path.open("rb") as file:
            file.seek(size - self._tail)
            end = file.read(self._tail)
        self._left_out += size - self._head - self._tail
        os.truncate(self._path, self._head)
        note = f"\n[Tidemill left out about {self._left_out:,} bytes here.]\n"
        with self._path.open("ab", buffering=0) as file:
            file.write(note.encode() + end)
