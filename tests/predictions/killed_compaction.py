"""Compacts logs in children that are killed before the Nth change that they make to the disk.

Reads a log's root and a number from each line of its input, and answers with how the child ended.
The libraries are imported once, and used by the children only.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

from tidemill.predictions.compaction import compact

_CHANGES = frozenset({"os.mkdir", "os.rename", "os.remove", "os.truncate"})


class Executioner:
    """Counts the changes below a folder, of which Python's audit hooks tell, and ends the process.

    Args:
        root: The folder.
        moment: Before which change.
    """

    def __init__(self, root: str, moment: int) -> None:
        self._root = root
        self._left = moment

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Look at one event."""
        writes = event == "open" and (arguments[2] or 0) & (os.O_WRONLY | os.O_RDWR)
        if not writes and event not in _CHANGES:
            return
        if not str(arguments[0]).startswith(self._root):
            return
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        self._left -= 1


def killed(root: str, moment: int) -> int:
    """Return how a child ended that was to be killed."""
    child = os.fork()
    if child == 0:
        sys.addaudithook(Executioner(root, moment))
        for _ in compact(Path(root), "e", "predictions"):
            pass
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    for line in sys.stdin:
        folder, number = line.split()
        print(killed(folder, int(number)), flush=True)
