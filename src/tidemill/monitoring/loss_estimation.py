"""Direct loss estimation (DLE): the errors of a regressor before its labels come.

A second model learns, on held-out rows, how large the first one's errors are for which features and
predictions; its mean over a window is the error to be expected there.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.models.metrics import mean

Floats = NDArray[np.float64]
_MOST_CATEGORIES = 200
_MOST_ROWS = 20_000


class LossEstimator:
    """Expects a regressor's errors.

    Reference: the direct loss estimation of NannyML's documentation, "Direct Loss Estimation",
    2022; gradient boosting by histograms takes the place of LightGBM.

    Args:
        features: Held-out rows.
        predictions: What was predicted of them, shape (n,).
        labels: What came true, shape (n,).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> rows = pl.DataFrame({"hard": rng.random(2000) < 0.5})
        >>> errors = rng.normal(size=2000) * np.where(rows["hard"], 5.0, 1.0)
        >>> learned = LossEstimator(rows, np.zeros(2000), errors)
        >>> easy = pl.DataFrame({"hard": [False] * 100})
        >>> 0.7 < learned.estimate(easy, np.zeros(100))["mae"] < 0.9
        True
    """

    def __init__(self, features: pl.DataFrame, predictions: Floats, labels: Floats) -> None:
        chosen = np.arange(len(labels))[-_MOST_ROWS:]
        self._columns = features.columns
        self._categories = {
            c: _known(features[c]) for c in features.columns if not _is_number(features[c])
        }
        encoded = self._encode(features[chosen.tolist()], predictions[chosen])
        errors = np.abs(predictions - labels)[chosen]
        self._absolute = self._learn(encoded, errors)
        self._squared = self._learn(encoded, errors**2)
        self._relative = self._learn(
            encoded, errors / np.maximum(np.abs(labels[chosen]), np.finfo(np.float64).eps)
        )

    def estimate(
        self, features: pl.DataFrame, predictions: Floats, weights: Floats | None = None
    ) -> dict[str, float]:
        """Return the metrics to be expected of a window, each row as often as it is weighed."""
        encoded = self._encode(features, predictions)
        return {
            "mae": mean(_expect(self._absolute, encoded), weights),
            "rmse": float(np.sqrt(mean(_expect(self._squared, encoded), weights))),
            "mape": mean(_expect(self._relative, encoded), weights),
        }

    def squared_errors(self, features: pl.DataFrame, predictions: Floats) -> Floats:
        """Return the squared error to be expected of each row."""
        return _expect(self._squared, self._encode(features, predictions))

    def _learn(self, encoded: Floats, target: Floats) -> Any:
        from sklearn.ensemble import HistGradientBoostingRegressor

        categorical = [c in self._categories for c in self._columns] + [False]
        model = HistGradientBoostingRegressor(
            max_iter=40,
            learning_rate=0.1,
            early_stopping=False,
            random_state=0,
            categorical_features=categorical,
        )
        with _one_thread():
            return model.fit(encoded, target)

    def _encode(self, features: pl.DataFrame, predictions: Floats) -> Floats:
        columns = [self._column(features, c) for c in self._columns]
        return np.column_stack([*columns, predictions])

    def _column(self, features: pl.DataFrame, name: str) -> Floats:
        if name not in features.columns:
            return np.full(features.height, np.nan)
        values = features[name]
        if name not in self._categories:
            return values.cast(pl.Float64, strict=False).fill_null(float("nan")).to_numpy()
        position = {v: i for i, v in enumerate(self._categories[name])}
        codes = values.cast(pl.String).replace_strict(
            position, default=None, return_dtype=pl.Float64
        )
        return codes.fill_null(float("nan")).to_numpy()


def _is_number(values: pl.Series) -> bool:
    return values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)


def _known(values: pl.Series) -> Sequence[str]:
    counts = values.cast(pl.String).drop_nulls().rename("v").value_counts()
    ranked = counts.sort(["count", "v"], descending=[True, False])
    return ranked["v"].head(_MOST_CATEGORIES).to_list()


def _expect(model: Any, encoded: Floats) -> Floats:
    with _one_thread():
        return np.asarray(np.maximum(model.predict(encoded), 0.0))


def _one_thread() -> AbstractContextManager[Any]:
    """The monitor is a guest: its threads would wait for cores that serving uses."""
    from threadpoolctl import threadpool_limits

    limits: AbstractContextManager[Any] = threadpool_limits(1, user_api="openmp")
    return limits
