"""The tables that are compared, written by a process of their own.

A process that is started counts the memory of the one that started it as its own peak.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl


def write(path: Path, seed: int, rows: int, columns: range) -> None:
    """Write a table to a Parquet file."""
    said = (str(path), str(seed), str(rows), str(columns.start), str(columns.stop))
    subprocess.run([sys.executable, "-m", "benchmarks.monitoring.tables", *said], check=True)


def made(seed: int, rows: int, columns: range) -> pl.DataFrame:
    """Return a table: four fifths numbers, a tenth counts, a tenth categories."""
    rng = np.random.default_rng(seed)
    values: dict[str, pl.Series] = {}
    for i in columns:
        if i % 10 == 8:
            column = pl.Series(rng.poisson(20, rows))
        elif i % 10 == 9:
            codes = np.minimum(rng.geometric(0.02, rows), 10 ** (1 + i // 10 % 3))
            column = pl.Series(codes).cast(pl.String)
        else:
            column = pl.Series(rng.normal(size=rows) if i % 2 else rng.lognormal(size=rows))
        values[f"x{i}"] = column
    return pl.DataFrame(values)


if __name__ == "__main__":
    numbers = [int(part) for part in sys.argv[2:]]
    made(numbers[0], numbers[1], range(*numbers[2:])).write_parquet(sys.argv[1])
