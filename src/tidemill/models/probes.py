"""Rows that are made up to find where a model and its twin part: nothing, the unheard of, extremes.

Held-out rows seldom have a missing value in each column that may have one, or a string that was
never seen; requests do. Where the original refuses such a row, requests with it are refused too.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import NamedTuple

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.contract import Column
from tidemill.models.records import Signature

UNHEARD = "\u2047 unheard of"
_FAR = 10.0
Answer = Callable[[pl.DataFrame], NDArray[np.float64]]


class Probed(NamedTuple):
    """What the original said of the probes.

    Attributes:
        rows: Those that it answered for.
        answers: Its answers.
        signature: As before, but columns in which it refuses a missing value may not have one.
    """

    rows: pl.DataFrame
    answers: NDArray[np.float64] | None
    signature: Signature


def probe(sample: pl.DataFrame, signature: Signature, answer: Answer) -> Probed:
    """Ask the original about rows like the first of the sample, with one value changed in each.

    Args:
        sample: Rows of the features; at least one.
        signature: Of the model.
        answer: Calls the original.
    """
    changes = [
        (column, value) for column in signature.features for value in _values(column, sample)
    ]
    if not changes:
        return Probed(sample[:0], None, signature)
    rows = pl.concat(
        [
            sample[:1].with_columns(pl.lit(value, dtype=sample.schema[c.name]).alias(c.name))
            for c, value in changes
        ]
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        answers = _each(rows, answer)
    refused = {
        column.name
        for (column, value), found in zip(changes, answers, strict=True)
        if value is None and found is None
    }
    kept = [at for at, found in enumerate(answers) if found is not None]
    known = [found for found in answers if found is not None]
    return Probed(
        rows[kept], np.concatenate(known) if known else None, _without_missing(signature, refused)
    )


def _each(rows: pl.DataFrame, answer: Answer) -> list[NDArray[np.float64] | None]:
    """Ask about all rows at once, or one after the other where that fails."""
    try:
        whole = answer(rows)
        if np.isfinite(whole).all():
            return [whole[at : at + 1] for at in range(len(rows))]
    except Exception:  # noqa: S110 - which row it was is found below
        pass
    return [_one(rows[at : at + 1], answer) for at in range(len(rows))]


def _one(row: pl.DataFrame, answer: Answer) -> NDArray[np.float64] | None:
    try:
        found = answer(row)
    except Exception:  # the user's model may raise what it likes
        return None
    return found if np.isfinite(found).all() else None


def _values(column: Column, sample: pl.DataFrame) -> list[bool | int | float | str | None]:
    values: list[bool | int | float | str | None] = [None] if column.nullable else []
    dtype = sample.schema[column.name]
    if column.type == "string" and column.values is None:
        values.append(UNHEARD)
    if column.type in {"int", "float"} and column.values is None and dtype.is_numeric():
        found = sample[column.name].drop_nulls().drop_nans()
        far = [float(v) * _FAR for v in (found.min(), found.max()) if isinstance(v, int | float)]
        values += [_into(column, v) for v in far if np.isfinite(v)]
    return values


def _into(column: Column, value: float) -> int | float:
    low = -np.inf if column.min is None else column.min
    high = np.inf if column.max is None else column.max
    inside = float(min(max(value, low), high))
    return int(inside) if column.type == "int" else inside


def _without_missing(signature: Signature, names: set[str]) -> Signature:
    features = tuple(
        msgspec.structs.replace(c, nullable=False) if c.name in names else c
        for c in signature.features
    )
    return msgspec.structs.replace(signature, features=features)
