"""Quality on held-out rows, apart for the values of columns and of pairs of them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from tidemill.core.contract import Column
from tidemill.models.records import Signature
from tidemill.pipelines.comparison import Answers
from tidemill.pipelines.evaluation import LEAST_ROWS, slices_of

SIGNATURE = Signature(
    features=(Column(name="origin", type="string"), Column(name="sky", type="string")),
    task="binary",
    classes=(0, 1),
    positive=1,
)


def test_a_pair_of_columns_is_a_segment_and_what_is_missing_has_a_name() -> None:
    many = LEAST_ROWS
    rows = pl.DataFrame(
        {
            "origin": ["EWR"] * 2 * many + ["JFK"] * many + [None] * (many - 1),
            "sky": ["blue"] * many + ["grey"] * many + [None] * many + ["blue"] * (many - 1),
        }
    )
    labels = np.ones(rows.height, dtype=int)
    right = rows.select(pl.col("sky") != "grey").fill_null(value=True).to_series().to_numpy()
    answers = Answers(right.astype(int), right * 0.8 + 0.1)

    found = slices_of(
        rows, ("origin & sky", "origin", "gate"), SIGNATURE, labels, answers, ("accuracy",)
    )

    assert [(s.column, s.value, s.rows, s.metrics["accuracy"]) for s in found] == [
        ("origin & sky", "EWR & blue", many, 1.0),
        ("origin & sky", "EWR & grey", many, 0.0),
        ("origin & sky", "JFK & (missing)", many, 1.0),
        ("origin", "EWR", 2 * many, pytest.approx(0.5)),
        ("origin", "JFK", many, 1.0),
    ]
