"""False alarms and delays of drift monitors on real streams: `python -m benchmarks alarms`.

`BENCH_REPEATS` (100) sets how often the days of each stream are permuted, `BENCH_EVIDENTLY` (4) how
many of these Evidently is asked about, which takes 20 seconds for each.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from benchmarks import results
from benchmarks.alarms.streams import SHIFTED, SHIFTS, WEEKS, days_of, permuted, with_shifts
from benchmarks.environments import python_with

REPEATS = int(os.environ.get("BENCH_REPEATS", "100"))
FEWER = int(os.environ.get("BENCH_EVIDENTLY", "4"))
PEERS = Path(__file__).with_name("peers")
COPIES = tuple(map(str, SHIFTS))
STATED = "0.05"
"""The level at which Tidemill is held against a peer that alarms as seldom."""
Weeks = list[list[str]]
"""The columns that alarm, week by week."""
Scores = list[dict[str, float]]
"""By how many deviations each column is beyond usual, week by week."""


class Case(msgspec.Struct, frozen=True):
    """A stream in one order of its days.

    Attributes:
        path: Its file.
        column: The column that has copies.
        copies: Their names.
    """

    path: str
    column: str
    copies: tuple[str, ...] = COPIES


def main() -> None:
    """Measure all, and write the section."""
    lines = [
        f"Real streams with their days permuted, {REPEATS} times each ({FEWER} for Evidently); 84 "
        f"days of reference, then {WEEKS} weeks. A chunk is a week. *Any column* is the share of "
        "drift-free weeks in which some column alarms, with its standard error over the "
        f"permutations. A delay is how many weeks pass before the shifted column alarms; {WEEKS} "
        "where it never does. Delays compare only between rows that alarm alike seldom, so that "
        "NannyML is also told of with the deviations at which it does so as seldom as Tidemill at "
        f"its stated {STATED}.\n",
    ]
    with tempfile.TemporaryDirectory() as folder:
        cases = {s: list(_cases(s, Path(folder) / s)) for s in SHIFTED}
        told = _answers(cases)
    for stream in SHIFTED:
        lines += [f"**{stream.capitalize()}**\n", *_table(*(told[stream, t] for t in TOOLS)), ""]
    results.write("Alarms", "python -m benchmarks alarms", "\n".join(lines))


TOOLS = {
    "evidently": ("evidently==0.7.23", "pandas<3", "pyarrow"),
    "nannyml": ("nannyml==0.13.1", "pandas<3", "statsmodels", "pyarrow"),
    "tidemill": (),
}


def _cases(stream: str, folder: Path) -> Iterator[Case]:
    folder.mkdir()
    days = days_of(stream, folder)
    for seed in range(REPEATS):
        column = SHIFTED[stream][seed % len(SHIFTED[stream])]
        path = folder / f"{seed}.parquet"
        with_shifts(permuted(days, seed), column).write_parquet(path)
        yield Case(str(path), column)


def _answers(cases: dict[str, list[Case]]) -> dict[tuple[str, str], Any]:
    """Ask each tool about each stream, two at a time; times are not measured here."""
    asked = [(stream, tool) for tool in TOOLS for stream in cases]
    with ThreadPoolExecutor(2) as pool:
        return dict(zip(asked, pool.map(lambda a: _answer(cases[a[0]], a[1]), asked), strict=True))


def _answer(cases: list[Case], tool: str) -> Any:
    chosen = cases[:FEWER] if tool == "evidently" else cases
    command = python_with(TOOLS[tool]) if TOOLS[tool] else [sys.executable]
    done = subprocess.run(
        [*command, str(PEERS / f"{tool}.py")],
        input=msgspec.json.encode(chosen).decode(),
        check=False,
        stdout=subprocess.PIPE,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{tool} ended with {done.returncode}; what it said stands above.")
    return json.loads(done.stdout.splitlines()[-1])


def _table(
    evidently: list[Weeks], nannyml: list[Scores], tidemill: list[dict[str, Weeks]]
) -> Iterator[str]:
    yield "| tool | any column, no drift | delay, 0.5 sd | at once | delay, 1 sd | at once |"
    yield "|---|---|---|---|---|---|"
    for level in tidemill[0]:
        yield _row(f"Tidemill, {level} stated", [t[level] for t in tidemill])
    same = _as_seldom(nannyml, any_column([t[STATED] for t in tidemill])[0])
    yield _row(f"NannyML, {same:.1f} deviations: as seldom", beyond(nannyml, same))
    yield _row("NannyML, 5 deviations", beyond(nannyml, 5.0))
    yield _row("NannyML, as it comes (3)", beyond(nannyml, 3.0))
    yield _row("Evidently, as it comes", evidently)


def beyond(scores: list[Scores], deviations: float) -> list[Weeks]:
    """Return the columns that are further from usual than some deviations."""
    return [[[c for c, z in week.items() if z > deviations] for week in weeks] for weeks in scores]


def any_column(told: list[Weeks]) -> tuple[float, float]:
    """Return the share of drift-free weeks in which some column alarms, and its standard error."""
    shares = [np.mean([bool(set(week) - set(COPIES)) for week in weeks]) for weeks in told]
    return float(np.mean(shares)), float(np.std(shares) / np.sqrt(len(shares)))


def _as_seldom(scores: list[Scores], rate: float) -> float:
    """Return the fewest deviations with which NannyML alarms no oftener than at a rate."""
    tried = np.arange(2.0, 30.0, 0.1)
    return float(next((k for k in tried if any_column(beyond(scores, k))[0] <= rate), tried[-1]))


def _row(tool: str, told: list[Weeks]) -> str:
    share, error = any_column(told)
    found = []
    for copy in COPIES:
        delays = [_delay(weeks, copy) for weeks in told]
        at_once = np.mean([d == 0 for d in delays])
        found.append(f"{np.mean(delays):.2f} weeks | {at_once:.0%}")
    return f"| {tool} | {share:.3f} ± {error:.3f} | {' | '.join(found)} |"


def _delay(weeks: Weeks, column: str) -> int:
    return next((i for i, week in enumerate(weeks) if column in week), WEEKS)


if __name__ == "__main__":
    main()
