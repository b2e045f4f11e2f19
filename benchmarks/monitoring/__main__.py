"""Compares two tables with Tidemill and its peers: `python -m benchmarks monitoring`.

`BENCH_ROWS` (a million) and `BENCH_COLUMNS` (50) set the size of the tables, `BENCH_TIMES` (3) how
often each is measured, `BENCH_SECONDS` (600) how long a peer may take. Reading the files is not
counted, but where the row says that it is read from files.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import results

ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
COLUMNS = int(os.environ.get("BENCH_COLUMNS", "50"))
TIMES = int(os.environ.get("BENCH_TIMES", "3"))
MOST_SECONDS = int(os.environ.get("BENCH_SECONDS", "600"))
PEERS = Path(__file__).with_name("peers")
OURS = {
    "exact": "Tidemill, exact",
    "sketches": "Tidemill, sketches",
    "prepared": "Tidemill, prepared reference",
    "files": "Tidemill, from Parquet files",
    "validate": "Tidemill, contract validation from a Parquet file",
}
THEIRS = {
    "evidently": ("Evidently 0.7.23", "evidently==0.7.23", "pandas<3", "pyarrow"),
    "nannyml": ("NannyML 0.13.1", "nannyml==0.13.1", "pandas<3", "statsmodels", "pyarrow"),
    "whylogs": ("whylogs 1.6.4", "whylogs[viz]==1.6.4", "pandas<3", "numpy<2", "pyarrow>=15,<20"),
}


def main() -> None:
    """Measure all, and write the section."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("reference.parquet", "current.parquet")]
        for seed, path in enumerate(paths):
            made(seed).write_parquet(path)
        measured = {
            title: several([sys.executable, str(PEERS / "tidemill.py"), *map(str, paths), way])
            for way, title in OURS.items()
        }
        for name, (title, *packages) in THEIRS.items():
            measured[title] = several(
                [*environment(packages), str(PEERS / f"{name}.py"), *map(str, paths)]
            )
    results.write("Comparing tables", "python -m benchmarks monitoring", render(measured))


def made(seed: int) -> pl.DataFrame:
    """Return a table: four fifths numbers, a tenth counts, a tenth categories."""
    rng = np.random.default_rng(seed)
    columns: dict[str, pl.Series] = {}
    for i in range(COLUMNS):
        if i % 10 == 8:
            values = pl.Series(rng.poisson(20, ROWS))
        elif i % 10 == 9:
            codes = np.minimum(rng.geometric(0.02, ROWS), 10 ** (1 + i // 10 % 3))
            values = pl.Series(codes).cast(pl.String)
        else:
            values = pl.Series(rng.normal(size=ROWS) if i % 2 else rng.lognormal(size=ROWS))
        columns[f"x{i}"] = values
    return pl.DataFrame(columns)


def environment(packages: list[str]) -> list[str]:
    """Return the command that runs Python with packages of its own."""
    wanted = [part for package in packages for part in ("--with", package)]
    uv = str(Path(sys.executable).with_name("uv"))
    return [uv, "run", "--no-project", "--isolated", "--python", "3.11", *wanted, "python"]


def several(command: list[str]) -> dict[str, float] | str:
    """Return the medians of several runs, or why there is none."""
    found = []
    for _ in range(TIMES):
        try:
            done = subprocess.run(
                command, check=False, capture_output=True, timeout=MOST_SECONDS, text=True
            )
        except subprocess.TimeoutExpired:
            return f"over {MOST_SECONDS} s"
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return f"does not run: {last[:100]}"
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: statistics.median(f[key] for f in found) for key in ("seconds", "megabytes")}


def render(measured: dict[str, dict[str, float] | str]) -> str:
    """Return the table; ratios are to the first row."""
    first = next(iter(measured.values()))
    lines = [
        f"{ROWS:,} rows of {COLUMNS} columns against as many; medians of {TIMES}.\n",
        "| what | seconds | ratio | peak memory |",
        "|---|---|---|---|",
    ]
    for title, found in measured.items():
        if isinstance(found, str) or isinstance(first, str):
            lines.append(f"| {title} | {found} | | |")
            continue
        ratio = found["seconds"] / first["seconds"]
        lines.append(
            f"| {title} | {found['seconds']:.2f} | {ratio:.2g} | {found['megabytes']:.0f} MB |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
