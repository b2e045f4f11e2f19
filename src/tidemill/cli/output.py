"""How commands speak: data on standard output, prose and progress on standard error."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any


class Output:
    """Where a command's words go.

    Args:
        json: Whether data are written as JSON, for programs.
    """

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def data(self, value: Any) -> bool:
        """Write a value as JSON if that is asked for; tell whether it was."""
        if not self.json:
            return False
        # Heavy for what only shows its help.
        import msgspec

        from tidemill.core.references import encode_hook

        encoded = msgspec.json.encode(value, enc_hook=encode_hook)
        sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")
        return True

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write a table: drawn on a terminal, tab-separated elsewhere."""
        texts = [[cell(v) for v in row] for row in rows]
        if not sys.stdout.isatty():
            for row in texts:
                sys.stdout.write("\t".join(row) + "\n")
            return
        from rich import box
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold dim")
        for name in columns:
            table.add_column(name, overflow="fold")
        for row in texts:
            table.add_row(*map(Text, row))
        if texts:
            Console().print(table)
        else:
            self.say("Nothing yet.")

    def write(self, text: str) -> None:
        """Write a line of data."""
        sys.stdout.write(text + "\n")

    def say(self, text: str) -> None:
        """Write a line for people."""
        sys.stderr.write(text + "\n")


def cell(value: Any) -> str:
    """Return a value as it stands in a table."""
    if value is None:
        return "–"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {cell(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(cell, value))
    return str(value)


def size(count: int) -> str:
    """Return a number of bytes for people.

    Example:
        >>> size(999), size(2_500), size(3_000_000_000)
        ('999 B', '2.5 kB', '3.0 GB')
    """
    if count < 1000:
        return f"{count} B"
    value, units = count / 1000, iter("kMGTP")
    unit = next(units)
    while value >= 1000 and unit != "P":
        value, unit = value / 1000, next(units)
    return f"{value:.1f} {unit}B"
