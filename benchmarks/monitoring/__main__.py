"""Compares and validates tables with Tidemill and its peers: `python -m benchmarks monitoring`.

`BENCH_ROWS` (a million) and `BENCH_COLUMNS` (50) set the size of the tables, `BENCH_MILLIONS`
(1,10,100) how many millions of rows are read from disk in constant memory, `BENCH_TIMES` (3) how
often Tidemill and what takes seconds is measured, `BENCH_SECONDS` (120) how long a peer may take.
Reading the files is not counted, but where the row says that it is read from files.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import msgspec

from benchmarks import results
from benchmarks.environments import NotInstalled, python_with
from benchmarks.monitoring.tables import write
from benchmarks.processes import ended_within

ROWS = int(os.environ.get("BENCH_ROWS", "1000000"))
COLUMNS = int(os.environ.get("BENCH_COLUMNS", "50"))
MILLIONS = tuple(map(int, os.environ.get("BENCH_MILLIONS", "1,10,100").split(",")))
TIMES = int(os.environ.get("BENCH_TIMES", "3"))
MOST_SECONDS = int(os.environ.get("BENCH_SECONDS", "120"))
PEERS = Path(__file__).with_name("peers")
PARTS, PART_ROWS, PART_COLUMNS = 4, 1_000_000, 5
"""Of the table that is read from disk: so many files are read again and again."""


class Peer(msgspec.Struct, frozen=True):
    """A tool that does the same.

    Attributes:
        title: As the table names it.
        script: The name of its script.
        packages: What it needs.
        arguments: What its script is given after the files.
        times: How often it is measured.
    """

    title: str
    script: str
    packages: tuple[str, ...]
    arguments: tuple[str, ...] = ()
    times: int = 1


PANDERA = ("pandera[pandas,polars]==0.35.0", "pandas<3", "pyarrow")
OURS = {
    "exact": "Tidemill, exact",
    "sketches": "Tidemill, sketches",
    "prepared": "Tidemill, prepared reference",
    "files": "Tidemill, from Parquet files",
}
THEIRS = (
    Peer("NannyML 0.13.1", "nannyml", ("nannyml==0.13.1", "pandas<3", "statsmodels", "pyarrow")),
    Peer("TFDV 1.16.1", "tfdv", ("tensorflow-data-validation==1.16.1", "dill")),
    Peer("whylogs 1.6.4", "whylogs", ("whylogs[viz]==1.6.4", "pandas<3", "numpy<2", "pyarrow<20")),
    Peer("Evidently 0.7.23", "evidently", ("evidently==0.7.23", "pandas<3", "pyarrow")),
    Peer("alibi-detect 0.13.0", "alibi_detect", ("alibi-detect==0.13.0", "pandas<3", "pyarrow<20")),
)
OUR_RULES = {
    "validate": "Tidemill, from a Parquet file",
    "validate in memory": "Tidemill, a table in memory",
}
THEIR_RULES = (
    Peer("pandera 0.35.0, Polars in memory", "pandera", PANDERA, ("polars",), times=TIMES),
    Peer("pandera 0.35.0, pandas in memory", "pandera", PANDERA, ("pandas",), times=TIMES),
    Peer(
        "Great Expectations 1.24.1, pandas in memory",
        "great_expectations",
        ("great-expectations==1.24.1", "pandas<3", "pyarrow"),
    ),
)
Figures = dict[str, float] | str
"""Seconds and megabytes, or why there are none."""


def main() -> None:
    """Measure all, and write the section."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / name for name in ("reference.parquet", "current.parquet")]
        for seed, path in enumerate(paths):
            write(path, seed, ROWS, range(COLUMNS))
        compared = {title: ours(way, *paths) for way, title in OURS.items()}
        compared |= {peer.title: theirs(peer, *paths) for peer in THEIRS}
        validated = {title: ours(way, *paths) for way, title in OUR_RULES.items()}
        validated |= {peer.title: theirs(peer, paths[1]) for peer in THEIR_RULES}
        parts = [Path(folder) / f"part-{seed}.parquet" for seed in range(PARTS)]
        for seed, path in enumerate(parts):
            write(path, seed, PART_ROWS, range(6, 6 + PART_COLUMNS))
        grown = {
            f"{many:,} million rows": ours("files", parts[0], *_repeated(parts, many), times=1)
            for many in MILLIONS
        }
    size = f"{ROWS:,} rows of {COLUMNS} columns"
    lines = [
        f"Drift of {size} against as many. Tidemill is measured {TIMES} times and the median told, "
        f"peers that take long once; they are ended after {MOST_SECONDS} s.\n",
        *render(compared),
        f"\nThe rules of a contract over {size}: types, ranges, missing values.\n",
        *render(validated),
        f"\nDrift of {PART_COLUMNS} columns against a million rows, both read from Parquet files "
        f"in stretches; {PARTS} files of a million rows each are read again and again.\n",
        *render(grown),
    ]
    results.write(
        "Comparing and validating tables", "python -m benchmarks monitoring", "\n".join(lines)
    )


def ours(way: str, *paths: Path, times: int = TIMES) -> Figures:
    """Measure Tidemill in one of its ways."""
    return several([sys.executable, str(PEERS / "tidemill.py"), way, *map(str, paths)], times)


def theirs(peer: Peer, *paths: Path) -> Figures:
    """Measure a peer, or say why it cannot be measured; bringing its packages is not counted."""
    try:
        command = python_with(peer.packages)
    except NotInstalled as error:
        return str(error)
    script = str(PEERS / f"{peer.script}.py")
    return several([*command, script, *map(str, paths), *peer.arguments], peer.times)


def several(command: list[str], times: int) -> Figures:
    """Return the medians of several runs, or why there is none."""
    found = []
    for _ in range(times):
        done = ended_within(command, MOST_SECONDS)
        if done is None:
            return f"over {MOST_SECONDS}"
        if done.returncode:
            last = (done.stderr.strip().splitlines() or ["no message"])[-1]
            return f"does not run: {last[:100]}"
        found.append(json.loads(done.stdout.splitlines()[-1]))
    return {key: statistics.median(f[key] for f in found) for key in ("seconds", "megabytes")}


def render(measured: dict[str, Figures]) -> Iterator[str]:
    """Return a table; ratios are to the first row."""
    first = next(iter(measured.values()))
    yield "| what | seconds | ratio | peak memory |"
    yield "|---|---|---|---|"
    for title, found in measured.items():
        if isinstance(found, str) or isinstance(first, str):
            yield f"| {title} | {found} | | |"
            continue
        ratio = found["seconds"] / first["seconds"]
        yield f"| {title} | {found['seconds']:.2f} | {ratio:.2g} | {found['megabytes']:.0f} MB |"


def _repeated(parts: list[Path], many: int) -> list[Path]:
    return [parts[i % len(parts)] for i in range(many)]


if __name__ == "__main__":
    main()
