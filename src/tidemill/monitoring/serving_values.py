"""Whether the values that come in are those that the contract allows, and that training had."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

import msgspec
import polars as pl

from tidemill.core.contract import Column
from tidemill.monitoring.columns import is_named

Rule = Literal["absent", "missing", "type", "values", "min", "max", "finite"]
_WORDS: dict[str, str] = {
    "absent": "did not come",
    "missing": "missing",
    "type": "of another type",
    "values": "not among the allowed values",
    "min": "below the minimum",
    "max": "above the maximum",
    "finite": "infinite",
}
_NUMERIC = frozenset({"int", "float"})


_ALL = 0.9
"""The share of missing values from which a column is taken not to come; less is drift's affair."""


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of the contract that a column's values break.

    Attributes:
        column: Which column.
        rule: Which rule.
        rows: In how many rows.
        share: In which share of them.
        example: A value that breaks it.
    """

    column: str
    rule: Rule
    rows: int
    share: float
    example: str

    @property
    def words(self) -> str:
        """The breach, for people."""
        shown = f" ({self.example})" if self.example else ""
        return f"`{self.column}` {_WORDS[self.rule]} in {self.share:.1%} of the rows{shown}"


class Skew(msgspec.Struct, frozen=True, kw_only=True):
    """One way in which served values are unlike those of training.

    Attributes:
        column: Which column.
        what: What is unlike, in words.
        training: The figure there.
        serving: The figure here.
        example: A value that training did not have.
    """

    column: str
    what: str
    training: float
    serving: float
    example: str = ""

    @property
    def words(self) -> str:
        """The skew, for people."""
        shown = f" ({self.example})" if self.example else ""
        if self.what == "typical value":
            return f"`{self.column}` {self.what} {self.training:.4g} → {self.serving:.4g}"
        return f"`{self.column}` {self.what} {self.training:.1%} → {self.serving:.1%}{shown}"


def breaches(columns: Sequence[Column], rows: pl.DataFrame) -> tuple[Breach, ...]:
    """Return what of the contract the rows break, the largest share first.

    Args:
        columns: The features, with what may stand in them.
        rows: Their values, as they were logged.

    Example:
        >>> rows = pl.DataFrame({"temp": [20.0, 310.5, None], "unit": ["C", "K", "C"]})
        >>> contract = [Column(name="temp", type="float", max=60.0, nullable=False),
        ...             Column(name="unit", type="string", values=("C",))]
        >>> for found in breaches(contract, rows):
        ...     print(found.words)
        `temp` missing in 33.3% of the rows
        `temp` above the maximum in 33.3% of the rows (310.5)
        `unit` not among the allowed values in 33.3% of the rows (K)
    """
    if rows.is_empty():
        return ()
    found = [b for column in columns for b in _of_column(column, rows)]
    return tuple(sorted(found, key=lambda b: -b.share))


def skews(
    columns: Sequence[Column], training: pl.DataFrame, serving: pl.DataFrame, least: float
) -> tuple[Skew, ...]:
    """Return in what served values are unlike those of training, the largest step first.

    Only what another way of making the columns would bring about is looked for: values that are
    missing altogether, unheard of, stuck, or in another unit. A mild shift is the affair of drift.

    Args:
        columns: The features.
        training: The rows that the model learned from.
        serving: The first rows that it was asked about.
        least: The least difference of shares that counts.

    Example:
        >>> training = pl.DataFrame({"temp": [280.0, 290.0, 300.0] * 20, "wind": [1.0, 2.0] * 30})
        >>> serving = pl.DataFrame({"temp": [9.0, 15.0, 21.0] * 20, "wind": [None] * 60})
        >>> columns = [Column(name="temp", type="float"), Column(name="wind", type="float")]
        >>> for found in skews(columns, training, serving, 0.05):
        ...     print(found.words)
        `wind` missing 0.0% → 100.0%
        `temp` typical value 290 → 15
    """
    if training.is_empty() or serving.is_empty():
        return ()
    found = [s for c in columns for s in _unlike(c.name, training, serving, least)]
    return tuple(sorted(found, key=lambda s: -abs(s.serving - s.training) / (1 + abs(s.training))))


def _of_column(column: Column, rows: pl.DataFrame) -> Iterator[Breach]:
    if column.name not in rows.columns:
        yield _breach(column, "absent", rows.height, rows.height, "")
        return
    values = rows[column.name]
    missing = values.is_null()
    if values.dtype.is_float():
        missing = missing | values.is_nan().fill_null(value=False)
    many = int(missing.sum())
    allowed = 0.0 if not column.nullable else column.max_null_rate
    if allowed is not None and many > allowed * rows.height:
        yield _breach(column, "missing", many, rows.height, "")
    present = values.filter(~missing)
    if column.type in _NUMERIC:
        yield from _of_numbers(column, present, rows.height)
    if column.values is not None:
        known = [str(v) for v in column.values]
        texts = present.cast(pl.String)
        wrong = ~texts.is_in(known)
        if column.type in _NUMERIC or column.type == "bool":
            wrong = ~_same(present, column.values)
        yield from _some(column, "values", texts.filter(wrong), rows.height)


def _of_numbers(column: Column, present: pl.Series, rows: int) -> Iterator[Breach]:
    if present.dtype.is_nested():
        yield from _some(column, "type", present, rows)
        return
    numbers = present.cast(pl.Float64, strict=False)
    yield from _some(column, "type", present.filter(numbers.is_null()), rows)
    numbers = numbers.drop_nulls()
    yield from _some(column, "finite", numbers.filter(numbers.is_infinite()), rows)
    numbers = numbers.filter(numbers.is_finite())
    if column.min is not None:
        yield from _some(column, "min", numbers.filter(numbers < column.min), rows)
    if column.max is not None:
        yield from _some(column, "max", numbers.filter(numbers > column.max), rows)


def _same(values: pl.Series, allowed: Sequence[Any]) -> pl.Series:
    numbers = values.cast(pl.Float64, strict=False)
    return numbers.is_in([float(v) for v in allowed]).fill_null(value=False)


def _some(column: Column, rule: Rule, wrong: pl.Series, rows: int) -> Iterator[Breach]:
    if len(wrong):
        yield _breach(column, rule, len(wrong), rows, str(wrong[0])[:40])


def _breach(column: Column, rule: Rule, many: int, rows: int, example: str) -> Breach:
    return Breach(column=column.name, rule=rule, rows=many, share=many / rows, example=example)


def _unlike(
    name: str, training: pl.DataFrame, serving: pl.DataFrame, least: float
) -> Iterator[Skew]:
    if name not in training.columns:
        return
    before = training[name]
    now = serving[name] if name in serving.columns else before.head(0)
    usual, missing = _missing(before, training.height), _missing(now, serving.height)
    if max(missing, usual) >= _ALL and abs(missing - usual) >= 1 - 2 * (1 - _ALL):
        yield Skew(column=name, what="missing", training=usual, serving=missing)
    present, here = before.drop_nulls(), now.drop_nulls()
    if not len(present) or not len(here) or present.dtype.is_nested():
        return
    if is_named(present.dtype):
        known = present.cast(pl.String).unique().to_list()
        strange = here.cast(pl.String).filter(~here.cast(pl.String).is_in(known))
        share = len(strange) / serving.height
        if share >= least:
            yield Skew(
                column=name,
                what="values unheard of in training",
                training=0.0,
                serving=share,
                example=str(strange[0])[:40],
            )
    elif present.dtype.is_numeric():
        yield from _unlike_numbers(name, present, here.cast(pl.Float64, strict=False).drop_nulls())


def _unlike_numbers(name: str, present: pl.Series, here: pl.Series) -> Iterator[Skew]:
    usual = present.cast(pl.Float64)
    usual, here = usual.filter(usual.is_finite()), here.filter(here.is_finite())
    if not len(usual) or not len(here):
        return
    middle, now = float(usual.median() or 0.0), float(here.median() or 0.0)  # type: ignore[arg-type]
    if usual.n_unique() > 2 and here.n_unique() == 1 and len(here) >= 30:
        yield Skew(
            column=name,
            what="rows with its most frequent value",
            training=float((usual == usual.mode()[0]).mean() or 0.0),
            serving=1.0,
            example=f"{now:.4g}",
        )
    elif _far_outside(usual, now):
        yield Skew(column=name, what="typical value", training=middle, serving=now)


def _far_outside(usual: pl.Series, value: float) -> bool:
    """Whether a typical value lies beyond all of training by its whole range: another unit."""
    low, high = float(usual.min()), float(usual.max())  # type: ignore[arg-type]
    return value > high + (high - low) or value < low - (high - low)


def _missing(values: pl.Series, rows: int) -> float:
    present = values.drop_nulls()
    if values.dtype.is_float():
        present = present.drop_nans()
    return 1 - len(present) / rows
