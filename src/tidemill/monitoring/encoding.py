"""Columns of every kind as a matrix that a model can learn from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.monitoring.columns import is_named, is_ordered, numbers_of

Floats = NDArray[np.float64]
MOST_CATEGORIES = 200
WORDS = 1 << 12
DIRECTIONS = 24
_SAMPLE = 3000
_LONG = 20


def is_embedding(dtype: Any) -> bool:
    """Whether a type's values are lists of numbers."""
    if not isinstance(dtype, pl.List | pl.Array):
        return False
    inner: Any = dtype.inner
    return bool(inner.is_numeric())


def is_text(values: pl.Series) -> bool:
    """Whether a column holds text: long values that hardly ever come twice.

    Example:
        >>> is_text(pl.Series([f"the taxi number {i} came much too late" for i in range(50)]))
        True
        >>> is_text(pl.Series(["north", "south"] * 25))
        False
    """
    if not is_named(values.dtype):
        return False
    known = values.drop_nulls().head(_SAMPLE).cast(pl.String)
    if len(known) < 2:
        return False
    mean: Any = known.str.len_chars().mean()
    return bool(mean >= _LONG and known.n_unique() > len(known) / 2)


def is_vector(values: pl.Series) -> bool:
    """Whether a column's values are compared as many numbers: embeddings, and text."""
    return is_embedding(values.dtype) or is_text(values)


class Encoder:
    """Turns rows into numbers, as it was learned from a reference.

    Args:
        rows: The reference's rows.
        columns: Which columns; those of other kinds are left out.
        vectors: Whether embeddings and text are taken too.
    """

    def __init__(self, rows: pl.DataFrame, columns: Sequence[str], *, vectors: bool) -> None:
        self._categories: dict[str, dict[str, float]] = {}
        self._projections: dict[str, Floats] = {}
        kept = []
        for name in columns:
            if name not in rows.columns:
                continue
            values = rows[name]
            if is_vector(values):
                if not vectors:
                    continue
                matrix = self._vectors(values)
                if not matrix.size:
                    continue
                self._projections[name] = _directions(matrix)
            elif is_named(values.dtype):
                self._categories[name] = _shares(values)
            elif not is_ordered(values.dtype):
                continue
            kept.append(name)
        self.columns = tuple(kept)

    def shares(self, rows: pl.DataFrame) -> Floats:
        """Return the matrix with categories as the share that they have of the reference."""
        return self._matrix(rows, shares=True)

    def values(self, rows: pl.DataFrame) -> Floats:
        """Return the matrix with categories as numbers in the order of how frequent they are."""
        return self._matrix(rows, shares=False)

    def codes_without(self, rows: pl.DataFrame, matrix: Floats) -> Recoding:
        """Return what gives rows the codes that they had, had some not been seen.

        Args:
            rows: The reference's.
            matrix: Their `values`.
        """
        widths = [
            len(self._projections[name]) if name in self._projections else 1
            for name in self.columns
        ]
        places = np.cumsum([0, *widths])[:-1]
        levels = [
            (int(place), _levels(rows[name]))
            for name, place in zip(self.columns, places, strict=True)
            if name in self._categories
        ]
        return Recoding(matrix, levels)

    def _matrix(self, rows: pl.DataFrame, *, shares: bool) -> Floats:
        parts: list[Floats] = []
        for name in self.columns:
            values = (
                rows[name]
                if name in rows.columns
                else pl.Series(name, [None] * rows.height, dtype=pl.Null)
            )
            if name in self._projections:
                parts.append(self._projected(name, values))
            elif name in self._categories:
                parts.append(self._codes(name, values, shares)[:, None])
            else:
                numbers = numbers_of(values)
                parts.append(np.where(np.isfinite(numbers), numbers, np.nan)[:, None])
        return np.hstack(parts) if parts else np.zeros((rows.height, 0))

    def _codes(self, name: str, values: pl.Series, shares: bool) -> Floats:
        known = self._categories[name]
        codes = known if shares else {n: float(i) for i, n in enumerate(known)}
        if not (is_named(values.dtype) or is_ordered(values.dtype)) or not codes:
            return np.full(len(values), np.nan)
        unknown = 0.0 if shares else float(len(codes))
        named = values.cast(pl.String)
        found = named.replace_strict(codes, default=unknown, return_dtype=pl.Float64)
        return np.where(named.is_null(), np.nan, found.to_numpy())

    def _projected(self, name: str, values: pl.Series) -> Floats:
        projection = self._projections[name]
        matrix = self._vectors(values)
        if matrix.shape[1] != projection.shape[1]:
            return np.full((len(values), len(projection)), np.nan)
        return np.asarray(matrix @ projection.T)

    def _vectors(self, values: pl.Series) -> Floats:
        if is_embedding(values.dtype):
            return _stacked(values)
        if not is_named(values.dtype):
            return np.zeros((len(values), 0))
        from sklearn.feature_extraction.text import HashingVectorizer

        said = values.cast(pl.String).fill_null("").to_list()
        hashed = HashingVectorizer(n_features=WORDS).transform(said)
        return np.asarray(hashed @ _scatter(), dtype=np.float64)


class Recoding:
    """Codes of categories that were learned from a part of the reference.

    Which categories are frequent is luck to a part, and rows from which that was learned have more
    of it than others. Whoever asks what chance gives has to learn the codes without the rows that
    stand for new ones.

    Args:
        matrix: The reference's values, with codes that were learned from all of it.
        levels: By column of the matrix, which category each row has, in their order as text; -1
            where it has none.
    """

    def __init__(self, matrix: Floats, levels: Sequence[tuple[int, NDArray[np.int64]]]) -> None:
        self._whole = matrix
        self._levels = levels

    def without(self, left_out: NDArray[np.bool_]) -> Floats:
        """Return the matrix with codes that were learned from the other rows."""
        if not self._levels:
            return self._whole
        matrix = self._whole.copy()
        for place, levels in self._levels:
            present = levels >= 0
            many = int(levels.max(initial=-1)) + 1
            counts = np.bincount(levels[present & ~left_out], minlength=many)
            codes = np.empty(many)
            codes[np.argsort(-counts, kind="stable")] = np.arange(many)
            unknown = min(int((counts > 0).sum()), MOST_CATEGORIES)
            codes[(counts == 0) | (codes >= unknown)] = unknown
            matrix[present, place] = codes[levels[present]]
        return matrix


def _levels(values: pl.Series) -> NDArray[np.int64]:
    ranks = values.cast(pl.String).rank("dense").fill_null(0).to_numpy()
    return np.asarray(ranks, dtype=np.int64) - 1


def _stacked(values: pl.Series) -> Floats:
    """Return embeddings as a matrix; rows of another length than the first are missing."""
    lists = values.to_list()
    length = next((len(v) for v in lists if v), 0)
    missing = [float("nan")] * length
    return np.array(
        [v if v is not None and len(v) == length else missing for v in lists], dtype=np.float64
    ).reshape(len(lists), length)


def _directions(matrix: Floats) -> Floats:
    """Return the main directions of the reference, of which a classifier learns."""
    known = matrix[~np.isnan(matrix).any(axis=1)][:_SAMPLE]
    if matrix.shape[1] <= DIRECTIONS or not len(known):
        return np.eye(matrix.shape[1])
    _, _, directions = np.linalg.svd(known - known.mean(axis=0), full_matrices=False)
    return np.asarray(directions[:DIRECTIONS])


def _scatter() -> Floats:
    """Return a fixed random projection of words; the same for the reference and every window.

    Reference: Achlioptas, Database-friendly random projections, PODS 2001.
    """
    signs = np.random.default_rng(0).choice([-1.0, 1.0], (WORDS, 4 * DIRECTIONS))
    return np.asarray(signs / np.sqrt(4 * DIRECTIONS))


def _shares(values: pl.Series) -> dict[str, float]:
    counts = values.cast(pl.String).drop_nulls().rename("v").value_counts()
    ranked = counts.sort(["count", "v"], descending=[True, False]).head(MOST_CATEGORIES)
    return {name: many / len(values) for name, many in ranked.iter_rows()}
