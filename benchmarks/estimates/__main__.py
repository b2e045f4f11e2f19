"""Estimated against realised quality over the flights of 2013: `python -m benchmarks estimates`."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn import metrics

from benchmarks import results
from benchmarks.environments import python_with
from benchmarks.estimates.models import THRESHOLD, Case, cases

PEERS = Path(__file__).with_name("peers")
NANNYML = ("nannyml==0.13.1", "pandas<3", "statsmodels", "pyarrow")
LEAST_ROWS = 1000
"""Of a window that counts: the year's edges have weeks of a day."""
WINDOWS = {"1mo": "months", "1w": "weeks"}
COMPARED = {"binary": ("f1", "roc_auc", "recall", "accuracy"), "regression": ("mae", "rmse")}
Values = dict[str, dict[str, float]]
"""The metrics of each window, which is named after its first day."""


def main() -> None:
    """Measure all, and write the section."""
    with tempfile.TemporaryDirectory() as folder:
        made = list(cases(Path(folder)))
        realised = [_realised(case) for case in made]
        ours = _asked([sys.executable, str(PEERS / "tidemill.py")], made)
        theirs = _asked([*python_with(NANNYML), str(PEERS / "nannyml.py")], made)
    lines = [
        "Models trained on the first weeks of the flights of 2013, with a reference just after; "
        "then the rest of the year, window by window, without labels. Told is the mean distance "
        f"of the estimate from what came true: Tidemill / NannyML. A flight is late from a "
        f"probability of {THRESHOLD} on.\n",
        *_table("binary", made, realised, ours, theirs),
        "",
        *_table("regression", made, realised, ours, theirs),
    ]
    results.write("Estimates", "python -m benchmarks estimates", "\n".join(lines))


def _asked(command: list[str], made: list[Case]) -> list[dict[str, Values]]:
    asked = [{"folder": c.folder, "task": c.task, "threshold": THRESHOLD} for c in made]
    done = subprocess.run(
        command, input=json.dumps(asked), check=False, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"{command[-1]} ended with {done.returncode}; what it said stands above.")
    told: list[dict[str, Values]] = json.loads(done.stdout.splitlines()[-1])
    return told


def _realised(case: Case) -> dict[str, Values]:
    rows = pl.read_parquet(Path(case.folder) / "current.parquet")
    return {
        every: {
            str(start.date()): _measured(case.task, part)  # type: ignore[attr-defined]
            for (start,), part in rows.group_by(pl.col("moment").dt.truncate(every))
            if part.height >= LEAST_ROWS
        }
        for every in WINDOWS
    }


def _measured(task: str, rows: pl.DataFrame) -> dict[str, float]:
    """Return a window's metrics by scikit-learn, which neither tool is asked about."""
    true, said = rows["label"].to_numpy(), rows["prediction"].to_numpy()
    if task == "regression":
        return {
            "mae": float(metrics.mean_absolute_error(true, said)),
            "rmse": float(metrics.root_mean_squared_error(true, said)),
        }
    return {
        "f1": float(metrics.f1_score(true, said)),
        "roc_auc": float(metrics.roc_auc_score(true, rows["score"].to_numpy())),
        "recall": float(metrics.recall_score(true, said)),
        "accuracy": float(metrics.accuracy_score(true, said)),
    }


def _table(
    task: str,
    made: list[Case],
    realised: list[dict[str, Values]],
    ours: list[dict[str, Values]],
    theirs: list[dict[str, Values]],
) -> Iterator[str]:
    names = COMPARED[task]
    yield f"| model | learned, then reference | windows | {' | '.join(names)} |"
    yield "|---|---|---|" + "---|" * len(names)
    for case, true, *told in zip(made, realised, ours, theirs, strict=True):
        if case.task != task:
            continue
        for every, windows in WINDOWS.items():
            found = [
                " / ".join(f"{distance(t[every], true[every], name):.4g}" for t in told)
                for name in names
            ]
            many = f"{len(true[every])} {windows}"
            yield f"| {case.model} | {case.stretches} | {many} | {' | '.join(found)} |"


def distance(told: Values, true: Values, name: str) -> float:
    """Return the mean distance of estimates of a metric from what came true."""
    gaps: Any = [abs(told[window][name] - values[name]) for window, values in true.items()]
    return float(np.mean(gaps))


if __name__ == "__main__":
    main()
