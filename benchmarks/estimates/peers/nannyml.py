"""NannyML's CBPE and DLE, a chunk a month and a chunk a week."""

import json
import logging
import sys
import warnings
from pathlib import Path

import pandas as pd

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
warnings.simplefilter("ignore")
logging.disable(50)
import nannyml  # noqa: E402

CLASSES = ("roc_auc", "f1", "precision", "recall", "accuracy", "average_precision")
ERRORS = ("mae", "rmse")
PERIODS = {"1mo": "M", "1w": "W"}
OWN = ("moment", "label", "prediction", "score")


def estimated(folder: str, task: str, threshold: float) -> dict[str, dict[str, dict[str, float]]]:
    """Return the metrics to be expected of each month and week."""
    usual, now = (pd.read_parquet(Path(folder) / f"{n}.parquet") for n in ("reference", "current"))
    for rows in (usual, now):
        rows["moment"] = rows["moment"].dt.tz_localize(None)
    return {every: _by(period, usual, now, task) for every, period in PERIODS.items()}


def _by(
    period: str, usual: pd.DataFrame, now: pd.DataFrame, task: str
) -> dict[str, dict[str, float]]:
    shared = {
        "y_true": "label",
        "y_pred": "prediction",
        "timestamp_column_name": "moment",
        "chunk_period": period,
    }
    if task == "binary":
        metrics = CLASSES
        estimator = nannyml.CBPE(
            y_pred_proba="score",
            problem_type="classification_binary",
            metrics=list(metrics),
            **shared,
        )
    else:
        metrics = ERRORS
        columns = [c for c in usual.columns if c not in OWN]
        estimator = nannyml.DLE(feature_column_names=columns, metrics=list(metrics), **shared)
    estimator.fit(usual)
    told = estimator.estimate(now.drop(columns="label")).filter(period="analysis").to_df()
    starts = pd.to_datetime(told[("chunk", "start_date")])
    return {
        str(start.date()): {m: float(told[(m, "value")].iloc[i]) for m in metrics}
        for i, start in enumerate(starts)
    }


asked = json.loads(sys.stdin.read())
sys.stdout.write(json.dumps([estimated(**case) for case in asked]))
