"""Holds a batch against its contract: every rule in one pass, then a look at what broke."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from tidemill.core.contract import Column, Contract
from tidemill.datasets.frames import collect, column_type
from tidemill.datasets.records import ValidationReport, Violation

EXAMPLES = 5
_ACCEPTED = {"float": {"int", "float"}, "datetime": {"datetime"}}
_ROW = "__row__"


class _Rule(msgspec.Struct, frozen=True):
    column: Column
    name: str
    broken: pl.Expr
    expected: str


def validate(
    frame: pl.LazyFrame, contract: Contract, *, now: datetime, name: str = "The batch"
) -> ValidationReport:
    """Hold a batch against its contract.

    Args:
        frame: The batch.
        contract: What must hold.
        now: The present moment, for freshness.
        name: What the batch is called in messages.

    Raises:
        UnreadableData: The batch cannot be read to its end.

    Example:
        >>> from datetime import UTC
        >>> contract = Contract(columns=(Column(name="temp", type="float", max=120.0),))
        >>> batch = pl.LazyFrame({"temp": [55.0, 280.4]})
        >>> validate(batch, contract, now=datetime(2013, 1, 1, tzinfo=UTC)).summary
        "column 'temp' holds 280.4 in row 1 (1 of 2 rows); expected at most 120"
    """
    schema = frame.collect_schema()
    found = list(_schema_violations(schema, contract))
    wrong = {v.column for v in found}
    columns = [c for c in contract.columns if c.name in schema and c.name not in wrong]
    rules = [rule for column in columns for rule in _rules(column)]
    queries = [pl.len().alias(_ROW)]
    queries += [r.broken.sum().cast(pl.Int64).alias(f"{i}") for i, r in enumerate(rules)]
    newest = contract.time
    if contract.max_age_seconds is not None and newest is not None and newest in columns:
        queries.append(pl.col(newest.name).max().alias("newest"))
    answer = collect(frame.select(queries), name).row(0, named=True)
    rows: int = answer[_ROW]
    broken = [(rule, answer[f"{i}"] or 0) for i, rule in enumerate(rules)]
    found += [
        _violation(frame, rule, count, rows, name)
        for rule, count in broken
        if count > _tolerated(rule, rows)
    ]
    found += _batch_violations(contract, rows, answer.get("newest"), now)
    return ValidationReport(rows=rows, columns=len(contract.columns), violations=tuple(found))


def _schema_violations(schema: pl.Schema, contract: Contract) -> Iterator[Violation]:
    for column in contract.columns:
        dtype = schema.get(column.name)
        if dtype is None:
            if column.role != "ignored":
                yield _whole(column.name, "missing-column", f"column {column.name!r} is missing")
            continue
        kind = column_type(dtype)
        accepted = _ACCEPTED.get(column.type, {column.type})
        if kind not in accepted and not isinstance(dtype, pl.Null) and column.role != "ignored":
            said = f"column {column.name!r} has type {dtype}; expected {column.type}"
            yield _whole(column.name, "type", said)
    if contract.extra_columns == "refuse":
        for name in schema.names():
            if contract.column(name) is None:
                yield _whole(name, "extra-column", f"column {name!r} is not in the contract")


def _rules(column: Column) -> Iterator[_Rule]:
    value = pl.col(column.name)
    if not column.nullable or column.max_null_rate is not None:
        yield _Rule(column, "nulls", value.is_null(), "no missing value")
    if column.type == "float":
        finite = value.cast(pl.Float64)
        yield _Rule(column, "finite", finite.is_infinite(), "finite numbers")
    if column.min is not None and column.max is not None:
        outside = ~value.is_between(column.min, column.max)
        yield _Rule(column, "range", outside, f"{column.min:g} to {column.max:g}")
    elif column.min is not None:
        yield _Rule(column, "range", value < column.min, f"at least {column.min:g}")
    elif column.max is not None:
        yield _Rule(column, "range", value > column.max, f"at most {column.max:g}")
    if column.values is not None:
        allowed = ", ".join(repr(v) for v in column.values[:8])
        more = ", …" if len(column.values) > 8 else ""
        unknown = ~value.is_in(list(column.values))
        yield _Rule(column, "values", unknown, f"one of {allowed}{more}")
    if column.unique or column.role == "key":
        yield _Rule(column, "unique", value.is_duplicated(), "every value once")


def _tolerated(rule: _Rule, rows: int) -> int:
    if rule.name != "nulls" or rule.column.max_null_rate is None:
        return 0
    return int(rule.column.max_null_rate * rows)


def _violation(frame: pl.LazyFrame, rule: _Rule, count: int, rows: int, name: str) -> Violation:
    column = rule.column.name
    bad = frame.select(column).with_row_index(_ROW).filter(rule.broken).head(EXAMPLES)
    examples = tuple((row, _plain(value)) for row, value in collect(bad, name).iter_rows())
    row, value = examples[0] if examples else (0, None)
    holds = "has a missing value" if value is None else f"holds {value!r}"
    return Violation(
        column=column,
        rule=rule.name,
        count=count,
        share=count / rows,
        message=f"column {column!r} {holds} in row {row} ({count:,} of {rows:,} rows); "
        f"expected {rule.expected}",
        examples=examples,
    )


def _batch_violations(
    contract: Contract, rows: int, newest: datetime | None, now: datetime
) -> Iterator[Violation]:
    if rows < contract.min_rows:
        said = f"the batch has {rows:,} rows; expected at least {contract.min_rows:,}"
        yield _whole("", "volume", said)
    if contract.max_rows is not None and rows > contract.max_rows:
        said = f"the batch has {rows:,} rows; expected at most {contract.max_rows:,}"
        yield _whole("", "volume", said)
    if newest is not None and contract.max_age_seconds is not None:
        aware = newest if newest.tzinfo else newest.replace(tzinfo=now.tzinfo)
        limit = timedelta(seconds=contract.max_age_seconds)
        if now - aware > limit:
            said = (
                f"the newest row is of {aware:%Y-%m-%d %H:%M} UTC; expected one of the last {limit}"
            )
            yield _whole("", "freshness", said)


def _whole(column: str, rule: str, message: str) -> Violation:
    return Violation(column=column, rule=rule, count=0, share=1.0, message=message)


def _plain(value: Any) -> Any:
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
