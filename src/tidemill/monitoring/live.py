"""A live version's reference, with what is computed from it once."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.tasks import metrics_of
from tidemill.datasets.segments import frequent, values_of
from tidemill.models.errors import ModelsError
from tidemill.models.records import Signature
from tidemill.models.session import OnnxModel
from tidemill.monitoring.attribution import Answer
from tidemill.monitoring.cause import Measure
from tidemill.monitoring.drift import DriftReference
from tidemill.monitoring.encoding import is_embedding, is_vector
from tidemill.monitoring.estimation import (
    Calibrator,
    ClassCalibrator,
    estimate_binary,
    estimate_multiclass,
    expected_class_losses,
    expected_log_losses,
)
from tidemill.monitoring.joint import DomainClassifier, Reconstruction
from tidemill.monitoring.loss_estimation import LossEstimator
from tidemill.monitoring.performance import (
    LEAST_ROWS,
    arrays,
    class_positions,
    intervals,
    losses_of,
    metrics_of_rows,
    sampling_errors,
    weights_of,
)
from tidemill.monitoring.quality import Quality
from tidemill.monitoring.records import JointDrift
from tidemill.monitoring.reference import Reference, blocks_of
from tidemill.monitoring.segments import MOST_SEGMENTS, by_segment
from tidemill.predictions.reader import FEATURE

Floats = NDArray[np.float64]
PARTS = 30
_BANDS = 3.0
_NORMAL_95 = 1.959963984540054


class Live:
    """What a version's windows are compared with.

    Args:
        reference: Of the version.
        block: The length of a block of time, in seconds.
        ignored: Features that are not watched.
    """

    def __init__(self, reference: Reference, block: float, ignored: Sequence[str] = ()) -> None:
        self.signature = reference.signature
        self.features = tuple(c for c in self.signature.features if c.name not in ignored)
        self.metrics = {k: v for k, v in reference.metrics.items() if np.isfinite(v)}
        names = [c.name for c in self.features]
        rows = _shaped(reference, block, names)
        features = features_of(rows)
        self._rows, self._names = rows, names
        self._vectors = [n for n in names if n in features.columns and is_vector(features[n])]
        single = [n for n in names if n not in self._vectors or not is_embedding(features[n].dtype)]
        self.drift = DriftReference(features, rows["block"], single)
        held = rows.filter(pl.col("split") == "holdout", pl.col("prediction").is_not_null())
        self.holdout = held.filter(pl.col("label").is_not_null())
        self.losses = (
            losses_of(self.signature, self.holdout) if self.holdout.height else np.zeros(0)
        )
        self.answers = DriftReference(answers_of(self.signature, held), held["block"], ["answer"])
        self._estimator = self._learn()
        self._noise: dict[str, float] = {}
        self._segments: dict[str, list[str]] = {}
        self._bundle = reference.bundle
        self._usual: dict[str, dict[str, dict[str, float]]] = {}

    @property
    def unwatched(self) -> str:
        """Which features nobody can say anything of, in words."""
        names = [c.name for c in self.signature.features if c not in self.features]
        if not names:
            return ""
        said = ", ".join(f"`{name}`" for name in names)
        return f"{said}: not watched, since `ignore` says so or `redact` keeps it from the log."

    def joint(
        self, rows: pl.DataFrame, blocks: pl.Series, *, multivariate: bool
    ) -> list[JointDrift]:
        """Compare a window's columns together: their relations, embeddings and text.

        Args:
            rows: The window's features.
            blocks: The block of each row.
            multivariate: Whether a classifier over all columns is asked too, which takes seconds.
        """
        watched: list[Reconstruction | DomainClassifier] = [self._reconstruction, *self._each]
        if multivariate:
            watched.append(self._classifier)
        found = [w.compare(rows, blocks) for w in watched]
        return [f for f in found if f is not None]

    @cached_property
    def _reconstruction(self) -> Reconstruction:
        return Reconstruction(features_of(self._rows), self._rows["block"], self._names)

    @cached_property
    def _each(self) -> list[DomainClassifier]:
        features = features_of(self._rows)
        return [DomainClassifier(features, self._rows["block"], [n]) for n in self._vectors]

    @cached_property
    def _classifier(self) -> DomainClassifier:
        return DomainClassifier(features_of(self._rows), self._rows["block"], self._names)

    def estimate(
        self, rows: pl.DataFrame, names: Sequence[str]
    ) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
        """Return the metrics to be expected of a window without labels, with sampling bands.

        A band is three standard errors each way, of the window's rows and of the held-out rows that
        the estimate was learned from.
        """
        if self._estimator is None or rows.height < LEAST_ROWS:
            return {}, {}
        expected = self._expected(rows)
        if weights_of(rows) is not None:
            sums = self.expected_quality(rows)
            expected = expected if sums is None else sums.metrics(self.signature)
        values = {k: v for k, v in expected.items() if k in names and np.isfinite(v)}
        values.pop("calibration_error", None)
        return values, self.bands(values, rows.height)

    def bands(self, values: dict[str, float], rows: float) -> dict[str, tuple[float, float]]:
        """Return the sampling bands of metrics that are expected of so many rows."""
        widen = float(np.sqrt(1 + self.holdout.height / rows))
        margins = {k: _BANDS * self.errors[k] * widen for k in values if k in self.errors}
        return {k: (values[k] - m, values[k] + m) for k, m in margins.items()}

    @cached_property
    def errors(self) -> dict[str, float]:
        """The standard errors of the version's own metrics, on the rows that it was judged by."""
        if self.holdout.height < LEAST_ROWS:
            return {}
        return sampling_errors(self.signature, self.holdout)

    def noise(self, metric: str) -> float:
        """Return half of the 95% interval of a metric of the version on the rows it was judged by.

        Days differ; where there are too few of them, rows stand in.
        """
        if metric not in self._noise:
            spans = intervals(self.signature, self.holdout, (metric,), self.metrics)
            low, high = spans.get(metric, (0.0, 2 * _NORMAL_95 * self.errors.get(metric, 0.0)))
            self._noise[metric] = (high - low) / 2
        return self._noise[metric]

    def residuals(self, rows: pl.DataFrame) -> Floats | None:
        """Return each labelled row's loss less what is to be expected of it."""
        if self._estimator is None:
            return None
        return losses_of(self.signature, rows) - self._expected_losses(rows)

    def expected_quality(self, rows: pl.DataFrame) -> Quality | None:
        """Return the sums of the quality to be expected of rows without labels."""
        if self._estimator is None:
            return None
        _, predictions, scores = arrays(self.signature, rows)
        known = weights_of(rows)
        weights = np.ones(rows.height) if known is None else known
        if isinstance(self._estimator, LossEstimator):
            answered = predictions.astype(np.float64)
            means = self._estimator.estimate(features_of(rows), answered, known)
            unknown = [np.nan] * 3
            each = np.array([means["mae"], means["rmse"] ** 2, means["mape"], *unknown])
            return Quality.of_errors(each * weights.sum(), float(weights.sum()))
        assert scores is not None
        chance = self._estimator(scores)
        if self.signature.task == "binary":
            yes = self.signature.classes.index(self.signature.positive)
            chance = np.column_stack([1 - chance, chance] if yes else [chance, 1 - chance])
        loss = float((weights * self._expected_losses(rows)).sum())
        return Quality.of_classes(self.signature, chance, scores, predictions, loss, weights)

    @cached_property
    def training(self) -> pl.DataFrame:
        """The features of the rows that the version learned from."""
        return features_of(self._rows.filter(pl.col("split") == "train"))

    @cached_property
    def answer(self) -> Answer | None:
        """What the version's twin says of rows, or nothing where it cannot be asked."""
        if self._bundle is None or len(self.features) < len(self.signature.features):
            return None
        try:
            model = OnnxModel(self._bundle, verify=False, refuse_out_of_contract=False)
        except ModelsError:
            return None
        names = [c.name for c in self.signature.features]

        def said(rows: pl.DataFrame) -> Floats:
            found = model.predict({n: rows[n].to_list() for n in names})
            return found.values if found.scores is None else found.scores

        return said

    def measure(self, metric: str) -> Measure:
        """Return what measures a metric over the held-out rows, each as often as it is weighed."""

        def over(weights: Floats | None) -> float:
            return metrics_of_rows(self.signature, self.holdout, (metric,), weights)[metric]

        return over

    def segment_values(self, segment: str) -> list[str]:
        """Return the values by which sums are kept apart: those that are frequent in the reference.

        They stay the same as long as the version lives, so that the sums of blocks add up.
        """
        if segment not in self._segments:
            values = values_of(self._rows, segment, prefix=FEATURE)
            self._segments[segment] = [] if values is None else frequent(values, MOST_SEGMENTS)
        return self._segments[segment]

    def usual_by_segment(self, segment: str) -> dict[str, dict[str, float]]:
        """Return the version's metrics on the held-out rows of each value of a segment."""
        if segment not in self._usual:
            names = metrics_of(self.signature.task)
            kept = by_segment(self.signature, self.holdout, self.holdout, (segment,), names)
            self._usual[segment] = {k.value: k.metrics for k in kept}
        return self._usual[segment]

    def _learn(self) -> Calibrator | ClassCalibrator | LossEstimator | None:
        if self.holdout.height < LEAST_ROWS:
            return None
        labels, predictions, scores = arrays(self.signature, self.holdout)
        if self.signature.task == "regression":
            answered = predictions.astype(np.float64)
            return LossEstimator(features_of(self.holdout), answered, labels.astype(np.float64))
        assert scores is not None
        if self.signature.task == "binary":
            return Calibrator(scores, labels == self.signature.positive)
        return ClassCalibrator(scores, class_positions(self.signature, labels))

    def _expected(self, rows: pl.DataFrame) -> dict[str, float]:
        _, predictions, scores = arrays(self.signature, rows)
        if isinstance(self._estimator, LossEstimator):
            answered = predictions.astype(np.float64)
            return self._estimator.estimate(features_of(rows), answered)
        assert scores is not None
        assert self._estimator is not None
        probabilities = self._estimator(scores)
        if self.signature.task == "binary":
            return estimate_binary(probabilities, scores, predictions == self.signature.positive)
        said = class_positions(self.signature, predictions)
        return estimate_multiclass(probabilities, scores, said)

    def _expected_losses(self, rows: pl.DataFrame) -> Floats:
        _, predictions, scores = arrays(self.signature, rows)
        if isinstance(self._estimator, LossEstimator):
            answered = predictions.astype(np.float64)
            return self._estimator.squared_errors(features_of(rows), answered)
        assert scores is not None
        assert self._estimator is not None
        probabilities = self._estimator(scores)
        if self.signature.task == "binary":
            return expected_log_losses(probabilities, scores)
        return expected_class_losses(probabilities, scores)


def features_of(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the features alone, under their own names."""
    names = [c for c in rows.columns if c.startswith(FEATURE)]
    return rows.select(pl.col(n).alias(n.removeprefix(FEATURE)) for n in names)


def answers_of(signature: Signature, rows: pl.DataFrame) -> pl.DataFrame:
    """Return what the model said, as one column that can be compared over time."""
    name = "score" if signature.task == "binary" else "prediction"
    return rows.select(pl.col(name).alias("answer"))


def _shaped(reference: Reference, block: float, features: Sequence[str]) -> pl.DataFrame:
    """Return the reference in the shape of a window: features prefixed, `label` and `block`."""
    rows = reference.rows
    if reference.time is None:
        # Without a time column, equal parts of the rows stand for blocks.
        blocks = pl.Series("block", np.arange(rows.height) * PARTS // max(rows.height, 1))
    else:
        blocks = blocks_of(rows[reference.time], block)
    names = [name for name in features if name in rows.columns]
    answers = [c for c in ("prediction", "score") if c in rows.columns]
    shaped = rows.select(
        *(pl.col(n).alias(FEATURE + n) for n in names),
        pl.col(reference.label).alias("label"),
        "split",
        *answers,
    )
    absent = [pl.lit(None).alias(c) for c in ("prediction", "score") if c not in answers]
    return shaped.with_columns(*absent, blocks.alias("block")).filter(pl.col("block").is_not_null())
