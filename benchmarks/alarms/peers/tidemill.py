"""Tidemill's alarm, as the monitor raises it: columns of a week, with the weeks before."""

import json
import sys

import polars as pl

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
from tidemill.monitoring.blocks import count
from tidemill.monitoring.drift import DriftReference

WEEK, WEEKS, REFERENCE = 7, 8, 84
LEVELS = {"Tidemill": 0.01, "Tidemill, at 0.05": 0.05}


def flagged(path: str) -> dict[str, list[list[str]]]:
    """Return, for each setting, the columns that alarm in each week."""
    rows = pl.read_parquet(path)
    columns = [c for c in rows.columns if c != "day"]
    usual = rows.filter(pl.col("day") < REFERENCE)
    known = DriftReference(usual, usual["day"], columns)
    starts = range(REFERENCE, REFERENCE + WEEK * WEEKS, WEEK)
    weeks = [rows.filter(pl.col("day").is_between(a, a + WEEK - 1)) for a in starts]
    found: dict[str, list[list[str]]] = {}
    for name, q in LEVELS.items():
        found[name] = []
        for i, week in enumerate(weeks):
            earlier = [
                {c: count(part[c], part["day"], s) for c, s in known.scales.items()}
                for many in (1, 3)
                if i >= many
                for part in [pl.concat(weeks[i - many : i])]
            ]
            told, _ = known.compare(week, week["day"], q=q, least_effect=0.05, earlier=earlier)
            found[name].append([c.column for c in told if c.drifted])
    return found


sys.stdout.write(json.dumps([flagged(path) for path in sys.argv[1:]]))
