"""NannyML's `UnivariateDriftCalculator`, a chunk a week: how far each column is beyond usual."""

import json
import logging
import sys
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
warnings.simplefilter("ignore")
logging.disable(50)
import nannyml  # noqa: E402

WEEK, WEEKS, REFERENCE = 7, 8, 84
DEFAULT = 3.0
"""Deviations above the mean of the reference's chunks from which on it alarms, if left alone."""


def scored(path: str, column: str, copies: Sequence[str]) -> list[dict[str, float]]:
    """Return, for each week, by how many deviations each column is beyond the reference's mean."""
    rows = pd.read_parquet(path)
    columns = [c for c in rows.columns if c != "day"]
    size = WEEK * int((rows["day"] == 0).sum())
    usual, now = rows[rows["day"] < REFERENCE], rows[rows["day"] >= REFERENCE]
    calculator = nannyml.UnivariateDriftCalculator(column_names=columns, chunk_size=size)
    calculator.fit(usual.drop(columns="day").reset_index(drop=True))
    told = calculator.calculate(now.drop(columns="day").reset_index(drop=True))
    table, known = told.to_df(), told.filter(period="reference").to_df()
    known = known[known[("chunk", "chunk", "period")] == "reference"]
    table = table[table[("chunk", "chunk", "period")] == "analysis"]
    assert len(table) == WEEKS
    weeks: list[dict[str, float]] = [{} for _ in range(WEEKS)]
    for c in columns:
        usually = known[(c, "jensen_shannon", "value")].to_numpy(float)
        mean, deviation = np.nanmean(usually), np.nanstd(usually)
        values = table[(c, "jensen_shannon", "value")].to_numpy(float)
        beyond = (values - mean) / max(deviation, 1e-12)
        alerts = table[(c, "jensen_shannon", "alert")].to_numpy(bool)
        assert (alerts == (beyond > DEFAULT)).all(), "NannyML alarms by another rule than this"
        for week, score in enumerate(beyond):
            weeks[week][c] = float(score)
    return weeks


cases = json.loads(sys.stdin.read())
sys.stdout.write(json.dumps([scored(**case) for case in cases]))
