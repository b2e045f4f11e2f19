"""Holds a batch against its contract: every rule in one pass, then a look at what broke.

The pass computes what is cheap and settles almost every rule: extremes, gaps, and whether a value
is foreign or comes twice. Only where a rule does not hold, or might not, are the rows counted
exactly and examples taken, in one more pass over the columns concerned.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import polars as pl

from tidemill.core.contract import Column, Contract
from tidemill.datasets.conversion import convert, is_text
from tidemill.datasets.frames import collect, schema_of
from tidemill.datasets.records import ValidationReport, Violation

EXAMPLES = 5
_ROWS = "\0rows"
_SINCE, _UNTIL = "\0since", "\0until"


class Examination(msgspec.Struct, frozen=True, kw_only=True):
    """What one look at a batch tells.

    Attributes:
        report: What holds of it.
        since: The earliest moment of its time column, where there is one.
        until: The latest.
    """

    report: ValidationReport
    since: datetime | None = None
    until: datetime | None = None


class _Rule(msgspec.Struct, frozen=True):
    """A rule of one column.

    Attributes:
        column: Whose.
        name: As reports call it.
        hint: A cheap question to all rows; whatever it says true to is counted exactly.
        broken: The exact question to each row.
        expected: What was expected, in words.
        tolerance: The share of rows that may break it.
    """

    column: Column
    name: str
    hint: pl.Expr
    broken: pl.Expr
    expected: str
    tolerance: float = 0.0


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
        >>> contract = Contract(columns=(Column(name="temp", type="float", max=120.0),))
        >>> batch = pl.LazyFrame({"temp": [55.0, 280.4]})
        >>> validate(batch, contract, now=datetime(2013, 1, 1, tzinfo=UTC)).summary
        "column 'temp' holds 280.4 in row 1 (1 of 2 rows); expected at most 120"
    """
    return examine(frame, contract, now=now, name=name).report


def examine(
    frame: pl.LazyFrame, contract: Contract, *, now: datetime, name: str = "The batch"
) -> Examination:
    """Like `validate`, but say also which stretch of time the batch covers."""
    schema = schema_of(frame, name)
    found = list(_schema_violations(schema, contract))
    wrong = {v.column for v in found}
    columns = [c for c in contract.columns if c.name in schema and c.name not in wrong]
    columns = [c for c in columns if c.role != "ignored"]
    typed, rules = _typed(frame, schema, columns)
    queries = [pl.len().alias(_ROWS)]
    queries += [rule.hint.alias(f"\0{i}") for i, rule in enumerate(rules)]
    time = contract.time if contract.time in columns else None
    if time is not None:
        queries += [pl.col(time.name).min().alias(_SINCE), pl.col(time.name).max().alias(_UNTIL)]
    answer = collect(typed.select(queries), name).row(0, named=True)
    rows: int = answer[_ROWS]
    suspects = [rule for i, rule in enumerate(rules) if answer[f"\0{i}"]]
    found = [msgspec.structs.replace(v, count=rows) for v in found]
    found += _counted(typed, suspects, rows, name)
    since, until = _moment(answer.get(_SINCE)), _moment(answer.get(_UNTIL))
    found += _batch_violations(contract, rows, until, now)
    report = ValidationReport(rows=rows, columns=len(contract.columns), violations=tuple(found))
    return Examination(report=report, since=since, until=until)


def _schema_violations(schema: pl.Schema, contract: Contract) -> Iterator[Violation]:
    text = is_text(schema)
    for column in contract.columns:
        if column.role == "ignored":
            continue
        dtype = schema.get(column.name)
        if dtype is None:
            yield _whole(column.name, "missing-column", f"column {column.name!r} is missing")
        elif convert(column, dtype, text=text) is None:
            said = f"column {column.name!r} has type {dtype}; expected {column.type}"
            yield _whole(column.name, "type", said)
    if contract.extra_columns == "refuse":
        for name in schema.names():
            if contract.column(name) is None:
                yield _whole(name, "extra-column", f"column {name!r} is not in the contract")


def _typed(
    frame: pl.LazyFrame, schema: pl.Schema, columns: Sequence[Column]
) -> tuple[pl.LazyFrame, list[_Rule]]:
    """Return the columns in the contract's types, as given beside them, and their rules."""
    text = is_text(schema)
    values: list[pl.Expr] = []
    rules: list[_Rule] = []
    for column in columns:
        found = convert(column, schema[column.name], text=text)
        assert found is not None
        values.append(found.value)
        given = pl.col(column.name)
        if found.may_fail:
            given = pl.col(_given(column))
            values.append(pl.col(column.name).alias(_given(column)))
            broken = _present(given, schema[column.name]) & pl.col(column.name).is_null()
            expected = f"{column.type} values"
            rules.append(_Rule(column, "type", broken.any(), broken, expected))
        rules += _rules(column, given, schema[column.name])
    # A selection of nothing would forget how many rows there are.
    return frame.select(values) if values else frame, rules


def _rules(column: Column, given: pl.Expr, dtype: pl.DataType) -> Iterator[_Rule]:
    value = pl.col(column.name)
    limit = 0.0 if column.max_null_rate is None else column.max_null_rate
    if not column.nullable or column.max_null_rate is not None:
        missing = ~_present(given, dtype)
        share = 0.0 if not column.nullable else limit
        expected = f"at most {share:.2%} missing" if share else "no missing value"
        hint = missing.any() if dtype.is_float() else given.null_count() > 0
        yield _Rule(column, "nulls", hint, missing, expected, share)
    if column.type == "float":
        infinite = value.is_infinite()
        hint = value.min().is_infinite() | value.max().is_infinite()
        yield _Rule(column, "finite", hint, infinite, "finite numbers")
    if column.type in {"int", "float"}:
        yield from _range(column, value)
    if column.values is not None:
        allowed = ", ".join(repr(v) for v in column.values[:8])
        more = ", …" if len(column.values) > 8 else ""
        foreign = ~value.is_in(list(column.values))
        yield _Rule(column, "values", foreign.any(), foreign, f"one of {allowed}{more}")
    if column.unique or column.role == "key":
        # Equal values have equal hashes, so fewer hashes than values is the only way to come
        # twice; two values that share one by chance are told apart by the exact question.
        hint = value.hash().filter(value.is_not_null()).n_unique() < value.count()
        twice = value.is_duplicated() & value.is_not_null()
        yield _Rule(column, "unique", hint, twice, "every value once")


def _range(column: Column, value: pl.Expr) -> Iterator[_Rule]:
    if column.min is None and column.max is None:
        return
    low = -math.inf if column.min is None else column.min
    high = math.inf if column.max is None else column.max
    if column.min is None:
        expected = f"at most {high:.15g}"
    elif column.max is None:
        expected = f"at least {low:.15g}"
    else:
        expected = f"{low:.15g} to {high:.15g}"
    outside = (value < low) | (value > high)
    if column.type == "float":
        outside &= value.is_finite()
    hint = (value.min() < low) | (value.max() > high)
    yield _Rule(column, "range", hint, outside, expected)


def _present(given: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Whether there is a value; NaN is none."""
    present = given.is_not_null()
    return present & given.is_not_nan().fill_null(True) if dtype.is_float() else present


def _counted(
    typed: pl.LazyFrame, suspects: Sequence[_Rule], rows: int, name: str
) -> Iterator[Violation]:
    """Count what breaks each suspected rule, and take examples."""
    if not suspects:
        return
    available = set(typed.collect_schema().names())
    queries: list[pl.Expr] = []
    for i, rule in enumerate(suspects):
        shown = _given(rule.column) if _given(rule.column) in available else rule.column.name
        queries.append(rule.broken.sum().alias(f"{i}"))
        examples = pl.struct(pl.int_range(pl.len()).alias("row"), pl.col(shown).alias("value"))
        queries.append(examples.filter(rule.broken).head(EXAMPLES).implode().alias(f"{i}.shown"))
    answer = collect(typed.select(queries), name).row(0, named=True)
    for i, rule in enumerate(suspects):
        count = answer[f"{i}"] or 0
        if count > rule.tolerance * rows:
            yield _violation(rule, count, rows, answer[f"{i}.shown"])


def _violation(rule: _Rule, count: int, rows: int, shown: list[dict[str, Any]]) -> Violation:
    column = rule.column.name
    examples = tuple((e["row"], _plain(e["value"])) for e in shown)
    row, value = examples[0]
    holds = "has a missing value" if rule.name == "nulls" else f"holds {value!r}"
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
    said = f"the batch has {rows:,} rows; expected at"
    if rows < contract.min_rows:
        yield _whole("", "volume", f"{said} least {contract.min_rows:,}", rows)
    if contract.max_rows is not None and rows > contract.max_rows:
        yield _whole("", "volume", f"{said} most {contract.max_rows:,}", rows)
    if newest is not None and contract.max_age_seconds is not None:
        limit = timedelta(seconds=contract.max_age_seconds)
        if now - newest > limit:
            said = (
                f"the newest row is of {newest:%Y-%m-%d %H:%M} UTC; "
                f"expected one of the last {limit}"
            )
            yield _whole("", "freshness", said, rows)


def _whole(column: str, rule: str, message: str, rows: int = 0) -> Violation:
    return Violation(column=column, rule=rule, count=rows, share=1.0, message=message)


def _given(column: Column) -> str:
    """The name under which a converted column stands as it was given."""
    return f"\0{column.name}"


def _moment(value: Any) -> datetime | None:
    """Return a day or a moment as a moment in UTC."""
    if value is None or isinstance(value, datetime):
        return value
    return datetime(value.year, value.month, value.day, tzinfo=UTC)


def _plain(value: Any) -> Any:
    """Return an example as JSON can carry it."""
    if isinstance(value, str):
        return value if len(value) <= 80 else f"{value[:77]}…"
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, bool | int | float) or value is None else str(value)
