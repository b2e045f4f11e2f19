"""Tidemill's comparison of Parquet files, in one of its ways, or validation of one."""

import json
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import scipy.stats  # noqa: F401 - imported where it is used; importing is not counted for any tool

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
from tidemill.core.contract import Column, Contract
from tidemill.datasets.frames import scan
from tidemill.datasets.validation import validate
from tidemill.monitoring.comparison import compare, prepare


def contract(path: Path) -> Contract:
    """Return rules for every column of the table that the driver makes."""
    columns = []
    for name, dtype in pl.read_parquet_schema(path).items():
        if dtype.is_float():
            columns.append(Column(name=name, type="float", min=-1e9, max=1e9))
        elif dtype.is_integer():
            columns.append(Column(name=name, type="int", min=0, max=10**6, nullable=False))
        else:
            columns.append(Column(name=name, type="string", nullable=False))
    return Contract(columns=tuple(columns))


way, reference, current, *more = sys.argv[1:]
if way in {"validate", "validate in memory"}:
    rules, moment = contract(Path(current)), datetime(2026, 1, 1, tzinfo=UTC)
    table = pl.read_parquet(current).lazy() if way == "validate in memory" else None
    start = time.perf_counter()
    batch = scan(Path(current), rules) if table is None else table
    assert validate(batch, rules, now=moment).passed
elif way == "files":
    start = time.perf_counter()
    compare([reference], [current, *more])
elif way == "prepared":
    usual, now = prepare(reference), pl.read_parquet(current)
    start = time.perf_counter()
    compare(usual, now)
else:
    tables = pl.read_parquet(reference), pl.read_parquet(current)
    start = time.perf_counter()
    compare(*tables, exact=way == "exact")
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": peak}))
