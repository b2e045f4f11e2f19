"""Tells in which line of a TOML document a key stands, which `tomllib` does not.

The text has been read by `tomllib` before, so it is known to be well-formed; what is left is to
walk over it and write down where each key and each element of a list begins.
"""

from __future__ import annotations

import re
from bisect import bisect_right

Path = tuple[str, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_TEXT = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN = re.compile(r"[^,\]}\n#]+")
_UNESCAPED = re.compile(r"\\(u[0-9A-Fa-f]{4}|U[0-9A-Fa-f]{8}|.)")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r"}


def locate(text: str) -> dict[Path, int]:
    """Return the line, counted from 1, in which every key and list element begins.

    Args:
        text: A document that `tomllib` has accepted.

    Example:
        >>> lines = locate('[models.m]\\nmetrics = [\\n  "f1",\\n  "auc",\\n]\\n')
        >>> lines["models", "m"], lines["models", "m", "metrics", "1"]
        (1, 4)
    """
    return _Walk(text).lines


class _Walk:
    def __init__(self, text: str) -> None:
        self._text = text
        self._breaks = [i for i, character in enumerate(text) if character == "\n"]
        self._at = 0
        self.lines: dict[Path, int] = {}
        self._document()

    def _document(self) -> None:
        table: Path = ()
        counts: dict[Path, int] = {}
        while self._skip() < len(self._text):
            if self._text[self._at] != "[":
                self._pair(table)
                continue
            start, repeated = self._at, self._text.startswith("[[", self._at)
            self._at += 2 if repeated else 1
            table = self._below(self._key(), counts)
            if repeated:
                counts[table] = counts.get(table, -1) + 1
                table = (*table, str(counts[table]))
            for end in range(1, len(table) + 1):
                self._mark(table[:end], start)
            self._at = self._text.index("]", self._at) + (2 if repeated else 1)

    def _below(self, keys: Path, counts: dict[Path, int]) -> Path:
        """A header below a repeated table means the newest of them."""
        path: Path = ()
        for key in keys[:-1]:
            path = (*path, key)
            if path in counts:
                path = (*path, str(counts[path]))
        return (*path, keys[-1])

    def _pair(self, table: Path) -> None:
        start = self._at
        path = table
        for key in self._key():
            path = (*path, key)
            self._mark(path, start)
        self._skip()
        self._at += 1
        self._skip()
        self._value(path)

    def _key(self) -> Path:
        parts = []
        while True:
            self._skip()
            match = _TEXT.match(self._text, self._at) or _BARE.match(self._text, self._at)
            assert match is not None
            parts.append(_plain(match[0]))
            self._at = match.end()
            self._skip()
            if not self._text.startswith(".", self._at):
                return tuple(parts)
            self._at += 1

    def _value(self, path: Path) -> None:
        first = self._text[self._at]
        if first == "[":
            self._list(path)
        elif first == "{":
            self._table(path)
        else:
            match = _TEXT.match(self._text, self._at) or _PLAIN.match(self._text, self._at)
            assert match is not None
            self._at = match.end()

    def _list(self, path: Path) -> None:
        self._at += 1
        index = 0
        while self._text[self._skip()] != "]":
            self._mark((*path, str(index)), self._at)
            self._value((*path, str(index)))
            index += 1
            self._comma()
        self._at += 1

    def _table(self, path: Path) -> None:
        self._at += 1
        while self._text[self._skip()] != "}":
            self._pair(path)
            self._comma()
        self._at += 1

    def _comma(self) -> None:
        if self._text[self._skip()] == ",":
            self._at += 1

    def _skip(self) -> int:
        match = _BLANK.match(self._text, self._at)
        assert match is not None
        self._at = match.end()
        return self._at

    def _mark(self, path: Path, at: int) -> None:
        self.lines.setdefault(path, bisect_right(self._breaks, at - 1) + 1)


def _plain(key: str) -> str:
    if key[0] == "'":
        return key[1:-1]
    return _UNESCAPED.sub(_character, key[1:-1]) if key[0] == '"' else key


def _character(match: re.Match[str]) -> str:
    code = match[1]
    return chr(int(code[1:], 16)) if code[0] in "uU" else _ESCAPES.get(code, code)
