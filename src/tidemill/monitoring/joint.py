"""Drift of columns together: of their relations, of embeddings, and of text.

Two questions are asked. Can a window still be told in the few directions in which the reference
varies (reconstruction)? Can a classifier tell its rows from the reference's (domain classifier)?
What chance gives is learned from whole blocks of the reference, as for single columns.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.models.metrics import roc_auc
from tidemill.monitoring.blocks import BlockIndex
from tidemill.monitoring.encoding import Encoder
from tidemill.monitoring.records import JointDrift

Floats = NDArray[np.float64]
KEPT_VARIANCE = 0.65
FOLDS = 5
LEAST_BLOCKS = 8
LEAST_ROWS = 30
DRAWS = 30
MOST_ROWS = 3000
MOST_PRODUCTS = 24
REACH = 5.0
RIDGE = 0.01


class Reconstruction:
    """Watches the relations of columns by principal components.

    Args:
        rows: The reference's rows.
        blocks: The block of each.
        columns: Which columns; those of numbers and categories are used.

    Reference: Qahtan, Alharbi, Wang and Zhang, A PCA-based change detection framework for
    multidimensional data streams, KDD 2015; the error's mean over a window as in NannyML's data
    reconstruction, its null from blocks of time.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> x, days = rng.normal(size=6000), pl.Series(np.arange(6000) // 200)
        >>> usual = pl.DataFrame({"x": x, "y": x + rng.normal(size=6000) / 9})
        >>> watched = Reconstruction(usual, days, ["x", "y"])
        >>> apart = pl.DataFrame({"x": usual["x"][:1400], "y": usual["y"][4600:]})
        >>> watched.compare(apart, days.head(1400)).p_value < 1e-6
        True
        >>> watched.compare(usual.head(1400), days.head(1400)).p_value > 0.01
        True
    """

    def __init__(self, rows: pl.DataFrame, blocks: pl.Series, columns: Sequence[str]) -> None:
        self._encoder = Encoder(rows, columns, vectors=False)
        self.columns = self._encoder.columns
        matrix = self._encoder.shares(rows)
        self._whole = _Directions(matrix)
        index = BlockIndex.of(blocks)
        # Directions fit the rows that they were learned from better than any others: the errors
        # that a window's are compared with are those of blocks that were left out.
        self._parts, each = _left_out(rows, self.columns, index.rows)
        many = np.bincount(index.rows, minlength=len(index.blocks))
        self._blocks = np.bincount(index.rows, weights=each) / many
        self._rows = float(np.median(many)) if len(many) else 0.0
        self._noise = float(each.var()) if len(each) else 0.0
        self._usual = float(each.mean()) if len(each) else 0.0

    def errors(self, rows: pl.DataFrame) -> Floats:
        """Return each row's distance from what the reference's main directions make of it."""
        return self._whole.errors(self._encoder.shares(rows))

    def compare(self, rows: pl.DataFrame, blocks: pl.Series) -> JointDrift | None:
        """Compare a window, or return nothing where that cannot be judged."""
        length = blocks.n_unique()
        # Columns that have nothing to do with each other have no relation that could break.
        if self._whole.many * 2 > len(self.columns) or rows.height < LEAST_ROWS:
            return None
        if len(self._blocks) < max(LEAST_BLOCKS, length + 2):
            return None
        now = float(np.mean([part.errors(rows).mean() for part in self._parts]))
        spread = float(self._blocks.std(ddof=1)) ** 2
        # A window with fewer rows a block than the reference has more noise in each.
        fewer = max(0.0, length / rows.height - 1 / self._rows) * self._noise
        variance = spread * (1 / length + 1 / len(self._blocks)) + fewer / length
        gap = now - self._usual
        return JointDrift(
            method="reconstruction",
            columns=self.columns,
            p_value=_two_sided(gap, np.sqrt(variance), len(self._blocks) - 1),
            effect=abs(gap) / self._usual if self._usual > 0 else float(gap != 0),
            usual=self._usual,
            current=now,
        )


class _Directions:
    """The main directions of scaled columns."""

    def __init__(self, matrix: Floats) -> None:
        self._fill = _means(matrix)
        filled = np.where(np.isnan(matrix), self._fill, matrix)
        spread = filled.std(axis=0) if len(filled) else np.ones(filled.shape[1])
        self._spread = np.where(spread > 0, spread, 1.0)
        self._axes = _axes((filled - self._fill) / self._spread)

    @property
    def many(self) -> int:
        """How many directions there are."""
        return len(self._axes)

    def errors(self, matrix: Floats) -> Floats:
        """Return each row's distance from what the directions make of it."""
        scaled = (np.where(np.isnan(matrix), self._fill, matrix) - self._fill) / self._spread
        return np.asarray(np.linalg.norm(scaled - scaled @ self._axes.T @ self._axes, axis=1))


class _Part:
    """What a part of the reference told: how frequent categories are, and the directions."""

    def __init__(self, rows: pl.DataFrame, columns: Sequence[str]) -> None:
        self._encoder = Encoder(rows, columns, vectors=False)
        self._directions = _Directions(self._encoder.shares(rows))

    def errors(self, rows: pl.DataFrame) -> Floats:
        """Return each row's distance from what the directions make of it."""
        return self._directions.errors(self._encoder.shares(rows))


def _left_out(
    rows: pl.DataFrame, columns: Sequence[str], blocks: NDArray[np.int64]
) -> tuple[list[_Part], Floats]:
    """Return parts that know all but a fifth of the blocks each, and the errors on that fifth."""
    errors = np.zeros(rows.height)
    parts = []
    for fold in range(FOLDS):
        held = blocks % FOLDS == fold
        if held.any() and not held.all():
            parts.append(_Part(rows.filter(~held), columns))
            errors[held] = parts[-1].errors(rows.filter(held))
    return parts, errors


class DomainClassifier:
    """Watches columns of any kind by how well a classifier tells a window from the reference.

    Args:
        rows: The reference's rows.
        blocks: The block of each.
        columns: Which columns; embeddings (lists of numbers of one length) and text too.
        seed: Of the sampling.

    Reference: Rabanser, Günnemann and Lipton, Failing loudly: an empirical study of methods for
    detecting dataset shift, NeurIPS 2019; the classifier is least squares (Fisher, The use of
    multiple measurements in taxonomic problems, Annals of Eugenics 7, 1936) over columns, squares
    and products. It is judged on blocks that it did not learn
    from, and its area under the ROC curve is compared with what it is where blocks of the reference
    are drawn against the rest.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> days = pl.Series(np.arange(4000) // 200)
        >>> x, y = rng.normal(size=4000), rng.normal(size=4000)
        >>> watched = DomainClassifier(pl.DataFrame({"x": x, "y": y}), days, ["x", "y"])
        >>> week = days.head(1400)
        >>> ring = pl.DataFrame({"x": x[:1400], "y": np.where(x[:1400] > 0, 1, -1) * abs(y[:1400])})
        >>> watched.compare(ring, week).p_value < 0.001
        True
    """

    def __init__(
        self, rows: pl.DataFrame, blocks: pl.Series, columns: Sequence[str], seed: int = 0
    ) -> None:
        self._encoder = Encoder(rows, columns, vectors=True)
        self.columns = self._encoder.columns
        self._matrix = self._encoder.values(rows)
        self._recoding = self._encoder.codes_without(rows, self._matrix)
        self._index = BlockIndex.of(blocks)
        self._seed = seed
        self._nulls: dict[int, tuple[float, float]] = {}

    def compare(self, rows: pl.DataFrame, blocks: pl.Series) -> JointDrift | None:
        """Compare a window, or return nothing where that cannot be judged."""
        index = BlockIndex.of(blocks)
        length = len(index.blocks)
        enough = len(self._index.blocks) >= max(LEAST_BLOCKS, length + 4)
        if not self.columns or rows.height < LEAST_ROWS or length < 2 or not enough:
            return None
        usual, spread = self._null(length)
        rng = np.random.default_rng(self._seed)
        now = _area(self._matrix, self._index.rows, self._encoder.values(rows), index.rows, rng)
        if now is None:
            return None
        return JointDrift(
            method="classifier",
            columns=self.columns,
            # Only rows that are told apart better than by chance speak of drift.
            p_value=min(1.0, _two_sided(now - usual, spread, DRAWS - 1) / 2)
            if now > usual
            else 1.0,
            effect=max(2 * now - 1, 0.0),
            usual=usual,
            current=now,
        )

    def _null(self, length: int) -> tuple[float, float]:
        """Return mean and deviation of the area where nothing moved; learned once a length."""
        if length not in self._nulls:
            rng = np.random.default_rng(self._seed + length)
            areas = [self._drawn(length, rng) for _ in range(DRAWS)]
            known = np.array([a for a in areas if a is not None])
            # A new window adds the uncertainty of the mean to that of one draw.
            widen = np.sqrt(1 + 1 / max(len(known), 1))
            self._nulls[length] = float(known.mean()), float(known.std(ddof=1) * widen)
        return self._nulls[length]

    def _drawn(self, length: int, rng: np.random.Generator) -> float | None:
        chosen = rng.permutation(len(self._index.blocks))[:length]
        inside = np.isin(self._index.rows, chosen)
        rows, matrix = self._index.rows, self._recoding.without(inside)
        return _area(matrix[~inside], rows[~inside], matrix[inside], rows[inside], rng)


def _area(
    usual: Floats,
    usual_blocks: NDArray[np.int64],
    now: Floats,
    blocks: NDArray[np.int64],
    rng: np.random.Generator,
) -> float | None:
    """Return the cross-fitted area under the ROC curve; blocks are dealt to the two folds whole."""
    parts = [_sampled(m, b, rng) for m, b in ((usual, usual_blocks), (now, blocks))]
    matrix = np.concatenate([p[0] for p in parts])
    new = np.repeat([False, True], [len(p[0]) for p in parts])
    fold = np.concatenate([_folds(p[1], rng) for p in parts])
    scores = np.zeros(len(new))
    areas = []
    for held in (False, True):
        learn, judge = fold != held, fold == held
        if min(new[learn].sum(), (~new[learn]).sum()) == 0:
            return None
        if min(new[judge].sum(), (~new[judge]).sum()) == 0:
            return None
        scores[judge] = _told(matrix[learn], new[learn], matrix[judge])
        areas.append(roc_auc(new[judge], new[judge], scores[judge]))
    return float(np.mean(areas))


def _told(matrix: Floats, new: NDArray[np.bool_], judged: Floats) -> Floats:
    """Learn to tell new rows by least squares over columns, their squares and their products."""
    fill, spread = _means(matrix), np.where(np.isnan(matrix), _means(matrix), matrix).std(axis=0)
    scale = np.where(spread > 0, spread, 1.0)
    learn, judge = (_terms(m, fill, scale) for m in (matrix, judged))
    middle = learn.mean(axis=0)
    learn, judge = learn - middle, judge - middle
    target = np.where(new, 1.0, -1.0)
    weights = np.where(new, 0.5 / new.mean(), 0.5 / (1 - new.mean()))
    weighted = learn * weights[:, None]
    penalty = RIDGE * len(learn) * np.eye(learn.shape[1])
    found = np.linalg.solve(weighted.T @ learn + penalty, weighted.T @ target)
    return np.asarray(judge @ found)


def _terms(matrix: Floats, fill: Floats, scale: Floats) -> Floats:
    """Return columns, squares, products where they are not too many, and what is missing."""
    missing = np.isnan(matrix)
    # Beyond a few deviations it only matters that a value is far off.
    scaled = np.clip((np.where(missing, fill, matrix) - fill) / scale, -REACH, REACH)
    parts = [scaled, scaled**2, missing.astype(np.float64)]
    if scaled.shape[1] <= MOST_PRODUCTS:
        left, right = np.triu_indices(scaled.shape[1], 1)
        parts.append(scaled[:, left] * scaled[:, right])
    return np.hstack(parts)


def _sampled(
    matrix: Floats, blocks: NDArray[np.int64], rng: np.random.Generator
) -> tuple[Floats, NDArray[np.int64]]:
    if len(matrix) <= MOST_ROWS:
        return matrix, blocks
    chosen = rng.choice(len(matrix), MOST_ROWS, replace=False)
    return matrix[chosen], blocks[chosen]


def _folds(blocks: NDArray[np.int64], rng: np.random.Generator) -> NDArray[np.bool_]:
    known = rng.permutation(np.unique(blocks))
    return np.isin(blocks, known[: len(known) // 2])


def _axes(scaled: Floats) -> Floats:
    """Return the directions that hold the kept part of the variance, shape (directions, n)."""
    if not scaled.size:
        return np.zeros((0, scaled.shape[1]))
    values, vectors = np.linalg.eigh(scaled.T @ scaled / len(scaled))
    values, vectors = np.maximum(values[::-1], 0.0), vectors[:, ::-1]
    total = values.sum()
    if total <= 0:
        return np.zeros((0, scaled.shape[1]))
    needed = int(np.searchsorted(np.cumsum(values) / total, KEPT_VARIANCE, side="right")) + 1
    return np.asarray(vectors[:, :needed].T)


def _means(matrix: Floats) -> Floats:
    known = ~np.isnan(matrix)
    many = np.maximum(known.sum(axis=0), 1)
    return np.asarray(np.where(known, matrix, 0.0).sum(axis=0) / many)


def _two_sided(gap: float, spread: float, freedom: int) -> float:
    from scipy.special import stdtr

    if spread <= 0:
        return 1.0 if gap == 0 else 0.0
    return float(2 * stdtr(freedom, -abs(gap) / spread))
