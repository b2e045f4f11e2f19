"""Quality as sums: those of two stretches of time add up to those of both.

From them every metric is read as it would be from the rows; only the areas under curves, for which
scores are counted in bins, are read with an error: half of the chance that a positive and a
negative row share a bin.
"""

from __future__ import annotations

from functools import reduce
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.models.records import Signature
from tidemill.monitoring.performance import (
    arrays,
    class_positions,
    intervals_of,
    losses_of,
    weights_of,
)

Floats = NDArray[np.float64]
BINS = 1000
_REACH = 10.0
_TENTHS = 10


class Quality(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of a stretch of answers.

    Attributes:
        many: How many predictions the rows stand for.
        sums: Classes: log loss and squared distance of the probabilities. Numbers: absolute,
            squared and relative error, label, squared label, and error with its sign.
        confusion: How often each class was said of each, shape (true, said); classes only.
        ranks: For each class that is ranked, how many rows of the others and of it have scores in
            each bin, shape (classes, 2, bins).
        tenths: For each of them, the scores less the truth, by tenths of the score.
    """

    many: float
    sums: Floats
    confusion: Floats
    ranks: Floats
    tenths: Floats

    @classmethod
    def realised(cls, signature: Signature, rows: pl.DataFrame) -> Quality:
        """Return the sums of labelled rows."""
        labels, answers, scores = arrays(signature, rows)
        weights = weights_of(rows)
        each_counts = np.ones(rows.height) if weights is None else weights
        if signature.task == "regression":
            truth, said = labels.astype(np.float64), answers.astype(np.float64)
            error = np.abs(said - truth)
            least = np.finfo(np.float64).eps
            relative = error / np.maximum(np.abs(truth), least)
            each = [error, error**2, relative, truth, truth**2, said - truth]
            counted = [float((each_counts * e).sum()) for e in each]
            return cls.of_errors(np.array(counted), float(each_counts.sum()))
        assert scores is not None
        places = class_positions(signature, labels)
        truth = (places[:, None] == np.arange(len(signature.classes))).astype(np.float64)
        loss = float((each_counts * losses_of(signature, rows)).sum())
        return cls.of_classes(signature, truth, scores, answers, loss, each_counts)

    @classmethod
    def of_errors(cls, sums: Floats, many: float) -> Quality:
        """Return the sums of a regressor's errors."""
        none = np.zeros((0, 0))
        return cls(
            many=float(many),
            sums=sums,
            confusion=none,
            ranks=np.zeros((0, 2, BINS)),
            tenths=np.zeros((0, _TENTHS)),
        )

    @classmethod
    def of_classes(
        cls,
        signature: Signature,
        truth: Floats,
        scores: Floats,
        said: NDArray[Any],
        loss: float,
        weights: Floats,
    ) -> Quality:
        """Return the sums of a classifier's answers.

        Args:
            signature: Of the model.
            truth: For each row how much it belongs to each class: 0 or 1 where it is labelled, the
                calibrated chance where it is not; shape (n, classes).
            scores: What the model said, shape (n,) or (n, classes).
            said: Its answers, shape (n,).
            loss: The sum of their log losses, each as often as its weight says.
            weights: For how many predictions each row stands, shape (n,).
        """
        many = len(signature.classes)
        answers = class_positions(signature, said)
        confusion = np.zeros((many, many))
        for k in range(many):
            mine = answers == k
            confusion[:, k] = (weights[mine, None] * truth[mine]).sum(axis=0)
        if signature.task == "binary":
            place = signature.classes.index(signature.positive)
            ranked, chance = scores[:, None], truth[:, [place]]
            squares = chance * (1 - ranked) ** 2 + (1 - chance) * ranked**2
        else:
            ranked, chance = scores, truth
            squares = (ranked**2).sum(axis=1) - 2 * (truth * ranked).sum(axis=1) + truth.sum(axis=1)
        counted = [_ranked(ranked[:, k], chance[:, k], weights) for k in range(ranked.shape[1])]
        return cls(
            many=float(weights.sum()),
            sums=np.array(
                [loss, float((weights[:, None] * squares.reshape(len(truth), -1)).sum())]
            ),
            confusion=confusion,
            ranks=np.stack([c[0] for c in counted]),
            tenths=np.stack([c[1] for c in counted]),
        )

    def __add__(self, other: Quality) -> Quality:
        """Return the sums of both together."""
        return self._combined(other, 1.0)

    def __sub__(self, other: Quality) -> Quality:
        """Return the sums of what is left when a part is taken out."""
        return self._combined(other, -1.0)

    def metrics(self, signature: Signature) -> dict[str, float]:
        """Return the task's metrics; NaN where one is not defined."""
        if signature.task == "regression":
            return self._of_numbers()
        if not self.many:
            return {}
        if signature.task == "binary":
            place = signature.classes.index(signature.positive)
            values = self._of_class(place, 0)
        else:
            each = [self._of_class(k, k) for k in range(len(signature.classes))]
            values = {name: _mean_of_defined([e[name] for e in each]) for name in each[0]}
        values["accuracy"] = float(np.trace(self.confusion) / self.many)
        values["log_loss"] = float(self.sums[0] / self.many)
        values["brier"] = float(self.sums[1] / self.many)
        return values

    def by_class(self, signature: Signature) -> dict[str, dict[str, float]]:
        """Return the metrics of each class against the rest, and how often it came: `labelled`.

        For binary models only the positive one has scores, so that the other has none of the areas.
        """
        found = {}
        for place, label in enumerate(signature.classes):
            binary = signature.task == "binary"
            if binary and label != signature.positive:
                values = self._counted(place)
            else:
                values = self._of_class(place, 0 if binary else place)
            found[str(label)] = {"labelled": float(self.confusion[place].sum()), **values}
        return found

    def averages(self, signature: Signature) -> dict[str, float]:
        """Return the task's further figures: NaN where one is not defined.

        For more than two classes: `_micro` is over all decisions, each class against the rest;
        `_weighted` is the mean over the classes by how often they came. For numbers: the mean error
        with its sign, and the pinball loss, by which an answer below the truth costs the share that
        the name tells, one above it the rest.

        Reference: Koenker and Bassett, Regression quantiles, Econometrica 46, 1978; Sokolova and
        Lapalme, A systematic analysis of performance measures for classification tasks,
        Information Processing and Management 45, 2009.
        """
        if not self.many or signature.task == "binary":
            return {}
        if signature.task == "regression":
            absolute, signed = float(self.sums[0]), float(self.sums[5])
            under, over = (absolute - signed) / 2, (absolute + signed) / 2
            pinball = {
                f"pinball_{tenth}0": (tenth / 10 * under + (1 - tenth / 10) * over) / self.many
                for tenth in (1, 5, 9)
            }
            return {"bias": signed / self.many, **pinball}
        each = [self._of_class(k, k) for k in range(len(signature.classes))]
        weights = self.confusion.sum(axis=1)
        weighted = {f"{n}_weighted": _weighted([e[n] for e in each], weights) for n in each[0]}
        area, precision = _areas(self.ranks.sum(axis=0))
        # Of rows with one label and one answer each, what one class misses another gets wrongly.
        right = float(np.trace(self.confusion) / self.many)
        micro = {f"{n}_micro": right for n in ("precision", "recall", "f1")}
        return {**micro, "roc_auc_micro": area, "average_precision_micro": precision, **weighted}

    def _of_numbers(self) -> dict[str, float]:
        if not self.many:
            return {}
        absolute, squared, relative, total, squares, _ = self.sums.tolist()
        spread = squares - total**2 / self.many
        values = {
            "mae": absolute / self.many,
            "rmse": float(np.sqrt(max(squared, 0.0) / self.many)),
            "mape": relative / self.many,
        }
        if np.isfinite(spread):
            values["r2"] = 1 - squared / spread if spread > 0 else float("nan")
        return values

    def _of_class(self, place: int, rank: int) -> dict[str, float]:
        area, precision = _areas(self.ranks[rank])
        return {
            **self._counted(place),
            "roc_auc": area,
            "average_precision": precision,
            "calibration_error": _ratio(float(np.abs(self.tenths[rank]).sum()), self.many),
        }

    def _counted(self, place: int) -> dict[str, float]:
        right = float(self.confusion[place, place])
        true, said = float(self.confusion[place].sum()), float(self.confusion[:, place].sum())
        return {
            "precision": _ratio(right, said),
            "recall": _ratio(right, true),
            "f1": _ratio(2 * right, true + said),
        }

    def _combined(self, other: Quality, sign: float) -> Quality:
        return Quality(
            many=self.many + sign * other.many,
            sums=self.sums + sign * other.sums,
            confusion=self.confusion + sign * other.confusion,
            ranks=self.ranks + sign * other.ranks,
            tenths=self.tenths + sign * other.tenths,
        )


def spans(
    signature: Signature, rows: pl.DataFrame, values: dict[str, float]
) -> dict[str, tuple[float, float]]:
    """Return 95% intervals of metrics, as `intervals` does, from the sums of each block.

    Args:
        signature: Of the model.
        rows: Labelled rows with `block`.
        values: The metrics over all rows.
    """
    parts = [Quality.realised(signature, part) for part in rows.partition_by("block")]
    if len(parts) < 3:
        return {}
    whole = reduce(Quality.__add__, parts)
    rest = [(whole - part).metrics(signature) for part in parts]
    return intervals_of(values, rest, tuple(values))


def _ranked(scores: Floats, chance: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Count rows by score, ones of the class and others; and their miscalibration by tenths.

    The bins are equal on the scale of log odds, where scores near 0 and 1 are told apart.
    """
    kept = np.clip(scores, 1e-9, 1 - 1e-9)
    odds = np.clip(np.log(kept / (1 - kept)), -_REACH, _REACH)
    bins = np.minimum(((odds + _REACH) / (2 * _REACH) * BINS).astype(np.int64), BINS - 1)
    sides = (weights * (1 - chance), weights * chance)
    counted = [np.bincount(bins, weights=w, minlength=BINS) for w in sides]
    tenth = np.minimum((scores * _TENTHS).astype(np.int64), _TENTHS - 1)
    gaps = np.bincount(tenth, weights=weights * (scores - chance), minlength=_TENTHS)
    return np.stack(counted).astype(np.float64), gaps.astype(np.float64)


def _areas(ranks: Floats) -> tuple[float, float]:
    """Return the areas under the ROC and precision-recall curves, rows of one bin as ties."""
    false, true = np.cumsum(ranks[:, ::-1], axis=1)
    if true[-1] <= 0:
        return float("nan"), float("nan")
    seen = np.maximum(false + true, 1e-300)
    precision = float((np.diff(true, prepend=0.0) * true / seen).sum() / true[-1])
    if false[-1] <= 0:
        return float("nan"), precision
    steps = np.diff(false, prepend=0.0), np.append(0.0, true[:-1])
    area = float((steps[0] * (steps[1] + true) / 2).sum() / (true[-1] * false[-1]))
    return area, precision


def _weighted(values: list[float], weights: Floats) -> float:
    each = np.array(values)
    known = ~np.isnan(each) & (weights > 0)
    return float(np.average(each[known], weights=weights[known])) if known.any() else float("nan")


def _mean_of_defined(values: list[float]) -> float:
    known = [v for v in values if not np.isnan(v)]
    return float(np.mean(known)) if known else float("nan")


def _ratio(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
