"""What a program asked of the kernel, in order: `strace`, and a reader of what it wrote."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

_CALLS = "read,recvfrom,recvmsg,write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,/^rename"
_WHOLE = re.compile(r"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_BEGUN = re.compile(r"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_RESUMED = re.compile(r"(\d+) +<\.\.\. (\w+) resumed>(.*)\) += (-?\d+)")


@dataclass(frozen=True)
class Call:
    """A call that ended.

    Attributes:
        name: Of the call.
        said: Its arguments, with the paths and addresses behind descriptors.
        begun: The line of the trace in which it began.
        ended: The line in which it ended; the same unless another thread came between.
        result: What it returned.
    """

    name: str
    said: str
    begun: int
    ended: int
    result: int

    def on(self, what: str) -> bool:
        """Tell whether its descriptor is a file or a connection."""
        return self.said.partition(">")[0].endswith(f"<{what}") or (
            "<TCP" in self.said[:8] and what in self.said.partition("]")[0]
        )


def traced(log: Path) -> list[str]:
    """Return the beginning of a command whose calls are written to a file."""
    strace = shutil.which("strace")
    if strace is None:
        pytest.skip("strace is not installed, so the order of writes and syncs cannot be seen")
    shown = ("--follow-forks", "--seccomp-bpf", "-yy", "-s", "4200")  # a page of the database
    return [strace, *shown, "-o", str(log), f"--trace={_CALLS}"]


def calls(log: Path) -> list[Call]:
    """Return the calls of a trace, in the order in which they ended."""
    return list(_read(log.read_text("latin-1").splitlines()))


def _read(lines: Iterable[str]) -> Iterator[Call]:
    waiting: dict[tuple[str, str], tuple[str, int]] = {}
    for number, line in enumerate(lines):
        if found := _BEGUN.match(line):
            waiting[found[1], found[2]] = (found[3], number)
        elif found := _RESUMED.match(line):
            said, begun = waiting.pop((found[1], found[2]))
            yield Call(found[2], said + found[3], begun, number, int(found[4]))
        elif found := _WHOLE.match(line):
            yield Call(found[2], found[3], number, number, int(found[4]))


def after(made: Iterable[Call], moment: int, *names: str, on: str) -> Call:
    """Return the first call that began after a moment, did well, and was on something.

    Raises:
        AssertionError: There is none.
    """
    for call in made:
        if call.begun > moment and call.name in names and call.on(on) and call.result >= 0:
            return call
    raise AssertionError(f"nothing of {names} on {on} after line {moment}")
