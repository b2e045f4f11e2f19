"""False alarms and delays of drift monitors on real streams: `python -m benchmarks alarms`.

`BENCH_REPEATS` (24) sets how often the days of each stream are permuted.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import results
from benchmarks.alarms.streams import SHIFTED, WEEKS, days_of, permuted, shifted
from benchmarks.monitoring.__main__ import THEIRS, environment

REPEATS = int(os.environ.get("BENCH_REPEATS", "24"))
SHIFTS = (0.0, 0.5, 1.0)
PEERS = Path(__file__).with_name("peers")
Flagged = dict[str, list[list[str]]]


def main() -> None:
    """Measure all, and write the section."""
    lines = [
        f"Real streams with their days permuted, {REPEATS} times each; 84 days of reference, then "
        f"{WEEKS} weeks. A chunk is a week. *Any column* is the share of drift-free weeks in which "
        "some column alarms. A delay is how many weeks pass before the shifted column alarms; "
        f"{WEEKS} where it never does. Only rows with alike rates of false alarms compare.\n",
    ]
    for stream in SHIFTED:
        lines += [f"**{stream.capitalize()}**\n", *_table(stream), ""]
    results.write("Alarms", "python -m benchmarks alarms", "\n".join(lines))


def _table(stream: str) -> Iterator[str]:
    yield "| tool | any column, no drift | a column | delay, 0.5 sd | found at once | delay, 1 sd |"
    yield "|---|---|---|---|---|---|"
    with tempfile.TemporaryDirectory() as folder:
        cases = list(_cases(stream, Path(folder)))
        for told in _answers([path for path, *_ in cases]):
            for tool in told[0]:
                yield _row(
                    tool, [(case, flagged[tool]) for case, flagged in zip(cases, told, strict=True)]
                )


def _cases(stream: str, folder: Path) -> Iterator[tuple[Path, float, str, int]]:
    days = days_of(stream)
    for seed in range(REPEATS):
        rows = permuted(days, seed)
        column = SHIFTED[stream][seed % len(SHIFTED[stream])]
        for shift in SHIFTS:
            path = folder / f"{seed}-{shift}.parquet"
            moved = shifted(rows, column, shift) if shift else rows
            moved.write_parquet(path)
            yield path, shift, column, rows.width - 1


def _answers(paths: list[Path]) -> Iterator[list[Flagged]]:
    named = [str(path) for path in paths]
    commands = [[sys.executable, str(PEERS / "tidemill.py")]]
    for name in ("nannyml", "evidently"):
        commands.append([*environment(list(THEIRS[name][1:])), str(PEERS / f"{name}.py")])
    for command in commands:
        done = subprocess.run([*command, *named], check=True, capture_output=True, text=True)
        yield json.loads(done.stdout.splitlines()[-1])


def _row(tool: str, told: list[tuple[tuple[Path, float, str, int], list[list[str]]]]) -> str:
    calm = [(width, week) for (_, s, _, width), weeks in told if s == 0.0 for week in weeks]
    chunk = np.mean([bool(week) for _, week in calm])
    column = np.mean([len(week) / width for width, week in calm])
    delays = {
        shift: [_delay(weeks, named) for (_, s, named, _), weeks in told if s == shift]
        for shift in SHIFTS[1:]
    }
    at_once = np.mean([d == 0 for d in delays[0.5]])
    half, whole = (np.mean(delays[shift]) for shift in SHIFTS[1:])
    return (
        f"| {tool} | {chunk:.3f} | {column:.4f} | {half:.2f} weeks | {at_once:.0%} | "
        f"{whole:.2f} weeks |"
    )


def _delay(weeks: list[list[str]], column: str) -> int:
    return next((i for i, week in enumerate(weeks) if column in week), WEEKS)


if __name__ == "__main__":
    main()
