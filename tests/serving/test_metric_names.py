"""The manual's tables of metrics and the code's lists are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from tidemill.server.metrics import FAMILIES as CONTROL
from tidemill.serving.worker.exposition import FOREIGN
from tidemill.serving.worker.metrics import FAMILIES as WORKER
from tidemill.serving.worker.metrics import Family

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
Row = tuple[str, str, tuple[str, ...]]


def documented(heading: str) -> set[Row]:
    """Return name, kind and labels of every row below a heading."""
    section = PAGE.read_text().split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \| ([\w, ]*?) ?\|", section, re.MULTILINE)
    return {(name, kind, tuple(filter(None, labels.split(", ")))) for name, kind, labels in rows}


@pytest.mark.parametrize(
    ("heading", "families"),
    [("Workers", WORKER), ("The names of others", FOREIGN), ("The control plane", CONTROL)],
)
def test_the_manual_lists_what_is_told(heading: str, families: Iterable[Family]) -> None:
    assert documented(heading) == {(f.name, f.kind, f.labels) for f in families}
