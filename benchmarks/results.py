"""RESULTS.md: a section a benchmark, each written by its own command, the others left alone.

A benchmark ends with `results.write("Serving", "python -m benchmarks serving", text)`.
"""

from __future__ import annotations

import fcntl
import os
import platform
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).with_name("RESULTS.md")
HEAD = (
    "# Measurements\n\n"
    "Each section is written by the command that it names and by no other. Medians where a thing "
    "is\nshort; what is measured beside a peer was measured in one run on one machine, so that the "
    "ratio\nholds where the number does not.\n"
)
_SECTION = re.compile(r"^## (.+)$", re.MULTILINE)


def write(title: str, command: str, text: str, *, page: Path = PAGE) -> None:
    """Put a section in the place of the last one of its title, and print it.

    Args:
        title: The heading, such as `Serving`.
        command: What was typed to measure this.
        text: Markdown without headings of the first two levels.
        page: The page, which is made if there is none.

    Raises:
        ValueError: The text would be taken for a section of its own.
    """
    if re.search(r"^##? ", text, re.MULTILINE):
        raise ValueError("the text of a section has no headings of the first two levels")
    section = f"{_made_by(command)}\n\n{text.strip()}\n"
    # Two benchmarks that end at once must not lose each other's section.
    with page.with_name(".results.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        sections = read(page) | {title: section}
        whole = HEAD + "".join(f"\n## {t}\n\n{s}" for t, s in sorted(sections.items()))
        scratch = page.with_suffix(".partial")
        scratch.write_text(whole, "utf-8")
        scratch.replace(page)
    sys.stdout.write(f"\n## {title}\n\n{section}")


def read(page: Path = PAGE) -> dict[str, str]:
    """Return the sections of a page by title."""
    if not page.exists():
        return {}
    _, *parts = _SECTION.split(page.read_text("utf-8"))
    return {
        title: text.strip("\n") + "\n" for title, text in zip(parts[::2], parts[1::2], strict=True)
    }


def _made_by(command: str) -> str:
    cores = len(os.sched_getaffinity(0))
    return (
        f"`{command}` on {cores} cores, Python {platform.python_version()}, {platform.system()}, "
        f"{datetime.now(UTC):%Y-%m-%d}."
    )
