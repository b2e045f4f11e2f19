"""NannyML's `UnivariateDriftCalculator`, a chunk a week; by default, and with five deviations."""

import json
import logging
import sys
import warnings

import pandas as pd

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
warnings.simplefilter("ignore")
logging.disable(50)
import nannyml  # noqa: E402

WEEK, WEEKS, REFERENCE = 7, 8, 84
THRESHOLDS = {
    "NannyML": None,
    "NannyML, five deviations": nannyml.thresholds.StandardDeviationThreshold(
        std_lower_multiplier=None, std_upper_multiplier=5
    ),
}


def flagged(path: str) -> dict[str, list[list[str]]]:
    """Return, for each setting, the columns that alarm in each week."""
    rows = pd.read_parquet(path)
    columns = [c for c in rows.columns if c != "day"]
    size = WEEK * int((rows["day"] == 0).sum())
    usual, now = rows[rows["day"] < REFERENCE], rows[rows["day"] >= REFERENCE]
    found: dict[str, list[list[str]]] = {}
    for name, threshold in THRESHOLDS.items():
        own = {} if threshold is None else {"thresholds": {"jensen_shannon": threshold}}
        calculator = nannyml.UnivariateDriftCalculator(column_names=columns, chunk_size=size, **own)
        calculator.fit(usual.drop(columns="day").reset_index(drop=True))
        told = calculator.calculate(now.drop(columns="day").reset_index(drop=True)).to_df()
        found[name] = [
            [c for c in columns if bool(told[(c, "jensen_shannon", "alert")].iloc[week])]
            for week in range(WEEKS)
        ]
    return found


sys.stdout.write(json.dumps([flagged(path) for path in sys.argv[1:]]))
