"""Compares any two tables, with no server and no model: `tidemill.compare(reference, current)`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.errors import Usage
from tidemill.monitoring import distances
from tidemill.monitoring.blocks import count, scale_of
from tidemill.monitoring.compared import ColumnComparison, ComparedTables
from tidemill.monitoring.drift import benjamini_hochberg, typical

Floats = NDArray[np.float64]
MOST_BARS = 12
CURVE = tuple(np.linspace(0, 1, 51).tolist())


class NotATable(Usage):
    """What was handed over cannot be read as a table."""


class Comparison(ComparedTables, frozen=True, kw_only=True):
    """A comparison that can be kept, sent and shown."""

    def to_json(self) -> str:
        """Return everything as JSON."""
        return msgspec.json.encode(self).decode()

    def to_html(self) -> str:
        """Return one page with plots, which needs nothing else."""
        from tidemill.monitoring.comparison_page import page

        return page(self)

    def write(self, path: str | Path) -> Path:
        """Write the page, or JSON where the name ends so; return where."""
        target = Path(path)
        content = self.to_json() if target.suffix == ".json" else self.to_html()
        target.write_text(content, "utf-8")
        return target

    def _repr_html_(self) -> str:
        from tidemill.monitoring.comparison_page import body

        return body(self)


def compare(
    reference: Any,
    current: Any,
    *,
    columns: Sequence[str] | None = None,
    q: float = 0.01,
    least_effect: float = 0.05,
) -> Comparison:
    """Say how far two tables differ, column by column.

    Rows are taken as independent, as in most tests; for rows that come by days, watch an endpoint,
    whose alarms are calibrated on whole days.

    Args:
        reference: What is usual: a Polars, pandas or Arrow table, a DuckDB relation, or a mapping
            from names to values.
        current: What is compared with it.
        columns: Which columns; all that both have where left out.
        q: The false-discovery rate across columns.
        least_effect: The least effect that counts, 0 to 1.

    Raises:
        NotATable: One of the two cannot be read as a table.

    Reference: Kolmogorov-Smirnov (numbers) or the two-sample chi-square test (categories), and
    Benjamini and Hochberg over the columns; see `distances` and `drift`.

    Example:
        >>> calm = {"temp": list(range(100)), "sky": ["blue"] * 60 + ["grey"] * 40}
        >>> warm = {"temp": list(range(50, 150)), "sky": ["blue"] * 58 + ["grey"] * 42}
        >>> compare(calm, warm).moved
        ('temp',)
    """
    before, after = table(reference), table(current)
    names = [c for c in before.columns if columns is None or c in columns]
    shared = [c for c in names if c in after.columns]
    notes: list[str] = []
    measured: list[ColumnComparison] = []
    for name in shared:
        found = _measure(name, before[name], after[name])
        if isinstance(found, str):
            notes.append(f"`{name}` cannot be judged, because {found}.")
        else:
            measured.append(found)
    chosen = benjamini_hochberg([c.p_value for c in measured], q)
    decided = (
        msgspec.structs.replace(c, moved=passed and c.effect >= least_effect)
        for c, passed in zip(measured, chosen, strict=True)
    )
    wanted = [c for c in after.columns if columns is None or c in columns]
    return Comparison(
        rows_reference=before.height,
        rows=after.height,
        columns=tuple(sorted(decided, key=lambda c: (not c.moved, -c.effect))),
        added=tuple(c for c in wanted if c not in before.columns),
        removed=tuple(c for c in names if c not in after.columns),
        notes=tuple(notes),
    )


def table(source: Any) -> pl.DataFrame:
    """Return any kind of table as a Polars one, without copying where that can be.

    Raises:
        NotATable: It cannot be read as a table.
    """
    if isinstance(source, pl.LazyFrame):
        return source.collect()
    if isinstance(source, pl.DataFrame):
        return source
    if isinstance(source, Mapping):
        return pl.DataFrame(dict(source), strict=False)
    if hasattr(source, "__arrow_c_stream__"):
        read = pl.DataFrame(source)
        return read.select(c for c in read.columns if not c.startswith("__index_level_"))
    raise NotATable(
        f"A {type(source).__name__} cannot be read as a table.",
        expected="a Polars, pandas (2.2 or newer) or Arrow table, a DuckDB relation, or a mapping",
    )


def _measure(name: str, before: pl.Series, after: pl.Series) -> ColumnComparison | str:
    scale = scale_of(before)
    if scale is None:
        return "it does not hold single values"
    empty = [w for w, v in (("reference", before), ("current table", after)) if not len(v)]
    if empty:
        return f"the {empty[0]} has no rows"
    both = [count(v, pl.Series([0] * len(v)), scale) for v in (before, after)]
    if scale.numeric:
        return _measure_numbers(name, before, after)
    found = [c.counts[0].astype(np.float64) for c in both]
    shares = [f / f.sum() for f in found]
    _, p_value = distances.chi_square(found[0], found[1])
    shown = [*scale.marks, "other", "missing"]
    order = np.argsort(-(shares[0] + shares[1]), kind="stable")[:MOST_BARS]
    return ColumnComparison(
        column=name,
        kind="categorical",
        moved=False,
        p_value=p_value,
        effect=float(np.abs(shares[0] - shares[1]).sum() / 2),
        distances=_distances_of(*shares),
        reference=typical(before),
        current=typical(after),
        missing_reference=float(shares[0][-1]),
        missing=float(shares[1][-1]),
        marks=tuple(str(shown[i]) for i in order),
        curve_reference=tuple(shares[0][order].tolist()),
        curve=tuple(shares[1][order].tolist()),
    )


def _measure_numbers(name: str, before: pl.Series, after: pl.Series) -> ColumnComparison | str:
    usual, now = _numbers(before), _numbers(after)
    missing = 1 - len(usual) / len(before), 1 - len(now) / len(after)
    gone = [len(before) - len(usual), len(after) - len(now)]
    tested = distances.chi_square(np.array([len(usual), gone[0]]), np.array([len(now), gone[1]]))
    p_value, effect, found = tested[1], abs(missing[0] - missing[1]), {}
    if len(usual) and len(now):
        statistic, chance = distances.kolmogorov_smirnov(usual, now)
        # Two questions were asked of the column: of its values, and of what is missing.
        p_value, effect = min(1.0, 2 * min(p_value, chance)), max(effect, statistic)
        found = {"kolmogorov_smirnov": statistic, **_distances_of_numbers(usual, now)}
    return ColumnComparison(
        column=name,
        kind="numeric",
        moved=False,
        p_value=p_value,
        effect=effect,
        distances=found,
        reference=typical(before),
        current=typical(after),
        missing_reference=missing[0],
        missing=missing[1],
        marks=CURVE,
        curve_reference=_curve(usual),
        curve=_curve(now),
    )


def _distances_of_numbers(usual: Floats, now: Floats) -> dict[str, float]:
    finite = usual[np.isfinite(usual)], now[np.isfinite(now)]
    if not (len(finite[0]) and len(finite[1])):
        return {}
    bins = distances.shares_in_bins(*finite)
    return {
        "wasserstein": distances.wasserstein(*finite),
        "normalised_wasserstein": distances.normalised_wasserstein(*finite),
        "jensen_shannon": distances.jensen_shannon(*bins),
        "hellinger": distances.hellinger(*bins),
        "population_stability": distances.population_stability(
            *distances.shares_by_tenths(*finite)
        ),
    }


def _distances_of(usual: Floats, now: Floats) -> dict[str, float]:
    return {
        "jensen_shannon": distances.jensen_shannon(usual, now),
        "hellinger": distances.hellinger(usual, now),
        "l_infinity": distances.l_infinity(usual, now),
        "population_stability": distances.population_stability(usual, now),
    }


def _curve(values: Floats) -> tuple[float, ...]:
    finite = values[np.isfinite(values)]
    return tuple(np.quantile(finite, CURVE).tolist()) if len(finite) else ()


def _numbers(values: pl.Series) -> Floats:
    if values.dtype.is_nested():
        return np.zeros(0)
    plain = values.to_physical() if values.dtype.is_temporal() else values
    found = plain.cast(pl.Float64, strict=False).drop_nulls().drop_nans().to_numpy()
    return np.asarray(found, dtype=np.float64)
