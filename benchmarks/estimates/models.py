"""Models of the flights of 2013: trained on its first weeks, then asked about the rest of the year.

A case is a folder of two files, `reference.parquet` and `current.parquet`: features, `moment`,
`prediction`, `score` where there are classes, and `label`.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import polars as pl
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler

from tidemill.demo.flights import FEATURES, read_year

NAMED = ("origin", "carrier")
NUMBERS = tuple(c for c in FEATURES if c not in (*NAMED, "dest"))
THRESHOLD = 0.3
"""From which probability on a flight is said to be late; a quarter of them are."""
STRETCHES = {
    "24 days, then 7": (datetime(2013, 1, 25, tzinfo=UTC), datetime(2013, 2, 1, tzinfo=UTC)),
    "2 months, then 1": (datetime(2013, 3, 1, tzinfo=UTC), datetime(2013, 4, 1, tzinfo=UTC)),
}
"""Where the reference begins, until when the model learns, and where it ends."""


class Case(msgspec.Struct, frozen=True):
    """A model and its year.

    Attributes:
        model: What kind it is.
        stretches: How long it learned, and how long its reference is.
        task: What it does: `binary` or `regression`.
        folder: Where its files are.
    """

    model: str
    stretches: str
    task: str
    folder: str


def cases(folder: Path) -> Iterator[Case]:
    """Train every model, write what it says of the year, and return where."""
    flights = read_year().flights.filter(pl.col("known_at").is_not_null())
    minutes = (pl.col("known_at") - pl.col("scheduled_departure")).dt.total_minutes()
    rows = flights.select(
        *FEATURES, "late", moment="scheduled_departure", minutes=minutes.cast(pl.Float64)
    )
    for model in ("boosted trees", "logistic regression", "boosted trees, minutes until landed"):
        for stretches, (begin, end) in STRETCHES.items():
            place = folder / f"{model} {stretches}"
            place.mkdir()
            task = "regression" if "minutes" in model else "binary"
            said = _said(model, rows, begin)
            said.filter(pl.col("moment").is_between(begin, end, "left")).write_parquet(
                place / "reference.parquet"
            )
            said.filter(pl.col("moment") >= end).write_parquet(place / "current.parquet")
            yield Case(model, stretches, task, str(place))


def _said(model: str, rows: pl.DataFrame, begin: datetime) -> pl.DataFrame:
    """Return rows with what a model that learned until a moment says of them."""
    label = "minutes" if "minutes" in model else "late"
    known = rows.filter(pl.col("moment") < begin)
    columns = [*NUMBERS, *NAMED]
    made = _pipeline(model).fit(known.select(columns).to_pandas(), known[label].to_numpy())
    asked = rows.select(columns).to_pandas()
    plain = rows.select(*columns, "moment", pl.col(label).cast(pl.Float64).alias("label"))
    if label == "minutes":
        return plain.with_columns(prediction=pl.Series(made.predict(asked)))
    scores = made.predict_proba(asked)[:, 1]
    return plain.with_columns(
        pl.col("label").cast(pl.Int64),
        score=pl.Series(scores),
        prediction=pl.Series((scores >= THRESHOLD).astype(int)),
    )


def _pipeline(model: str) -> Any:
    codes = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    if model == "logistic regression":
        numbers = make_pipeline(SimpleImputer(), StandardScaler())
        return make_pipeline(
            make_column_transformer((numbers, list(NUMBERS)), (codes, list(NAMED))),
            LogisticRegression(max_iter=1000),
        )
    trees = HistGradientBoostingRegressor if "minutes" in model else HistGradientBoostingClassifier
    encoded = make_column_transformer((codes, list(NAMED)), remainder="passthrough")
    return make_pipeline(encoded, trees(random_state=0))
