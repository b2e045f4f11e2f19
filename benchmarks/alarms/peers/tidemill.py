"""Tidemill's alarm, as the monitor raises it: columns of a week, with the weeks before."""

import json
import sys
from collections.abc import Sequence

import polars as pl

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
from tidemill.monitoring.blocks import count
from tidemill.monitoring.drift import DriftReference

WEEK, WEEKS, REFERENCE = 7, 8, 84
LEVELS = ("0.01", "0.05")


def flagged(path: str, column: str, copies: Sequence[str]) -> dict[str, list[list[str]]]:
    """Return, for each level, the columns that alarm in each week.

    The copies of a column each take its place in turn, since columns are judged together.
    """
    rows = pl.read_parquet(path)
    found = _weeks(rows.drop(copies))
    for copy in copies:
        others = [c for c in copies if c != copy]
        moved = _weeks(rows.drop(column, *others))
        for level, weeks in moved.items():
            for week, named in enumerate(weeks):
                found[level][week] += [copy] if copy in named else []
    return found


def _weeks(rows: pl.DataFrame) -> dict[str, list[list[str]]]:
    columns = [c for c in rows.columns if c != "day"]
    usual = rows.filter(pl.col("day") < REFERENCE)
    known = DriftReference(usual, usual["day"], columns)
    starts = range(REFERENCE, REFERENCE + WEEK * WEEKS, WEEK)
    weeks = [rows.filter(pl.col("day").is_between(a, a + WEEK - 1)) for a in starts]
    found: dict[str, list[list[str]]] = {}
    for level in LEVELS:
        found[level] = []
        for i, week in enumerate(weeks):
            earlier = [
                {c: count(part[c], part["day"], s) for c, s in known.scales.items()}
                for many in (1, 3)
                if i >= many
                for part in [pl.concat(weeks[i - many : i])]
            ]
            told, _ = known.compare(
                week, week["day"], q=float(level), least_effect=0.05, earlier=earlier
            )
            found[level].append([c.column for c in told if c.drifted])
    return found


cases = json.loads(sys.stdin.read())
sys.stdout.write(json.dumps([flagged(**case) for case in cases]))
