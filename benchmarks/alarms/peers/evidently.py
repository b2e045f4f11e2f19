"""Evidently's `DataDriftPreset`, week by week."""

import json
import sys
import warnings
from collections.abc import Sequence

import pandas as pd

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
warnings.simplefilter("ignore")
from evidently import Report  # noqa: E402
from evidently.presets import DataDriftPreset  # noqa: E402

WEEK, WEEKS, REFERENCE = 7, 8, 84


def flagged(path: str, column: str, copies: Sequence[str]) -> list[list[str]]:
    """Return the columns that alarm in each week."""
    rows = pd.read_parquet(path)
    usual = rows[rows["day"] < REFERENCE].drop(columns="day")
    weeks = []
    for start in range(REFERENCE, REFERENCE + WEEK * WEEKS, WEEK):
        now = rows[(rows["day"] >= start) & (rows["day"] < start + WEEK)].drop(columns="day")
        weeks.append(_moved(Report([DataDriftPreset()]).run(now, usual).dict()))
    return weeks


def _moved(told: dict) -> list[str]:
    found = []
    for metric in told["metrics"]:
        config = metric.get("config", {})
        if "column" not in config or "method" not in config:
            continue
        value, limit = float(metric["value"]), float(config["threshold"])
        is_p_value = "p_value" in config["method"]
        if value < limit if is_p_value else value >= limit:
            found.append(config["column"])
    return found


cases = json.loads(sys.stdin.read())
sys.stdout.write(json.dumps([flagged(**case) for case in cases]))
