"""Tidemill's estimates, as the monitor makes them of a window without labels."""

import json
import sys
from pathlib import Path

import polars as pl

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
from tidemill.core.contract import Column
from tidemill.core.tasks import metrics_of
from tidemill.models.records import Signature
from tidemill.monitoring.live import Live
from tidemill.monitoring.reference import Reference
from tidemill.predictions.reader import FEATURE

BLOCK = 86400.0
TYPES = {pl.Float64: "float", pl.Int64: "int", pl.String: "string"}
OWN = ("moment", "label", "prediction", "score")


def estimated(folder: str, task: str, threshold: float) -> dict[str, dict[str, dict[str, float]]]:
    """Return the metrics to be expected of each month and week."""
    usual, now = (pl.read_parquet(Path(folder) / f"{n}.parquet") for n in ("reference", "current"))
    names = [c for c in usual.columns if c not in OWN]
    features = tuple(Column(name=n, type=TYPES[type(usual.schema[n])]) for n in names)
    if task == "binary":
        signature = Signature(
            features=features, task=task, classes=(0, 1), positive=1, threshold=threshold
        )
    else:
        signature = Signature(features=features, task=task)
    usual = usual.with_columns(split=pl.lit("holdout"))
    live = Live(Reference(signature, usual, "label", "moment", {}), BLOCK)
    shaped = now.rename({n: FEATURE + n for n in names}).with_columns(label=pl.lit(None))
    return {
        every: {
            str(start.date()): live.estimate(rows, metrics_of(task))[0]
            for (start,), rows in shaped.group_by(pl.col("moment").dt.truncate(every))
        }
        for every in ("1mo", "1w")
    }


asked = json.loads(sys.stdin.read())
sys.stdout.write(json.dumps([estimated(**case) for case in asked]))
