"""A reference sketched once, to compare any number of tables with: one small file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl

from tidemill.datasets.sketches import (
    MOST_NAMES,
    POINTS,
    Counts,
    Floats,
    Form,
    Gathering,
    Moments,
    Names,
    NamesGathering,
    Numbers,
    Sketch,
)
from tidemill.monitoring.columns import Kind, kind_of, sketch
from tidemill.monitoring.errors import UnreadableReference
from tidemill.monitoring.tables import Table, in_threads, open_table

EXACT_NAMES = 100_000
_MAGIC = b"TMREF1\n"


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """A table as sketches of its columns.

    Attributes:
        rows: How many rows the table has.
        columns: The sketch of each column, in order; nothing where it does not hold single values.
    """

    rows: int
    columns: dict[str, Sketch | None]

    def save(self, path: str | Path) -> Path:
        """Write the reference as one file, whole or not at all; return where."""
        target = Path(path)
        columns = {name: None if s is None else _stored(s) for name, s in self.columns.items()}
        draft = target.with_name(target.name + ".part")
        draft.write_bytes(_MAGIC + msgspec.msgpack.encode(_Stored(self.rows, columns)))
        draft.replace(target)
        return target

    @classmethod
    def load(cls, path: str | Path) -> Prepared:
        """Read a reference from its file.

        Raises:
            UnreadableReference: It is not there, damaged, or of another kind.
        """
        source = Path(path)
        try:
            content = source.read_bytes()
        except OSError as error:
            raise _unreadable(source, error.strerror or "it cannot be opened") from error
        if not content.startswith(_MAGIC):
            raise _unreadable(source, "it is a file of another kind")
        try:
            stored = msgspec.msgpack.decode(content[len(_MAGIC) :], type=_Stored)
            columns = {n: None if s is None else s.restored() for n, s in stored.columns.items()}
        except (msgspec.DecodeError, ValueError) as error:
            raise _unreadable(source, "it is damaged") from error
        return cls(rows=stored.rows, columns=columns)


def prepare(
    reference: Any, *, columns: Sequence[str] | None = None, points: int = POINTS
) -> Prepared:
    """Sketch a reference once, so that tables are compared with it again and again.

    Args:
        reference: As in `compare`; Parquet files are read in constant memory.
        columns: Which columns; all where left out.
        points: How many values of a column of numbers to keep: shares are off by at most half of
            one part in so many, twice that for files of millions of rows.

    Raises:
        NotATable: It cannot be read as a table.
        UnreadableData: It is a file that cannot be read.

    Example:
        >>> usual = prepare({"temp": list(range(100)), "sky": ["blue"] * 60 + ["grey"] * 40})
        >>> usual.rows, list(usual.columns)
        (100, ['temp', 'sky'])
    """
    source = open_table(reference)
    names = [c for c in source.schema if columns is None or c in columns]
    kinds = {name: kind_of(source.schema[name]) for name in names}
    return Prepared(rows=source.rows, columns=sketch_columns(source, kinds, points=points))


def sketch_columns(
    source: Table, kinds: dict[str, Kind | None], *, points: int | None
) -> dict[str, Sketch | None]:
    """Sketch columns of a table, several at a time.

    Args:
        source: The table.
        kinds: What each column is compared as; nothing where it cannot be.
        points: How many numbers to keep; all where left out.
    """

    def work(name: str) -> Sketch | None:
        kind = kinds[name]
        return None if kind is None else sketch_column(source, name, kind, points=points)

    names = list(kinds)
    return dict(zip(names, in_threads(work, names), strict=True))


def sketch_column(source: Table, name: str, kind: Kind, *, points: int | None) -> Sketch:
    """Sketch one column of a table; in constant memory unless all points are kept."""
    if points is None:
        whole = [part for part in source.stretches(name) if len(part)]
        values = pl.concat(whole) if whole else pl.Series(name, [], source.schema[name])
        return sketch(values, kind, points=None, names=EXACT_NAMES)
    most = MOST_NAMES
    parts = (sketch(part, kind, points=points, names=most) for part in source.stretches(name))
    return _gathered_names(parts) if kind == "categorical" else _gathered(parts, points)


def _gathered(parts: Iterator[Sketch], points: int) -> Numbers:
    gathering = Gathering(points)
    for part in parts:
        assert isinstance(part, Numbers)
        gathering.add(part)
    return gathering.result()


def _gathered_names(parts: Iterator[Sketch]) -> Names:
    gathering = NamesGathering()
    for part in parts:
        assert isinstance(part, Names)
        gathering.add(part)
    return gathering.result()


class _StoredNumbers(msgspec.Struct, frozen=True, tag="numbers"):
    points: bytes
    weights: bytes | None
    missing: int
    below: int
    above: int
    least: float
    most: float
    moments: Moments
    error: float
    form: Form

    def restored(self) -> Numbers:
        points: Floats = np.frombuffer(self.points, "<f8")
        weights = None if self.weights is None else np.frombuffer(self.weights, "<f8")
        if len(points) != (self.moments.many if weights is None else len(weights)):
            raise ValueError("points and weights differ in number")
        return Numbers(
            points=points,
            weights=weights,
            missing=self.missing,
            below=self.below,
            above=self.above,
            least=self.least,
            most=self.most,
            moments=self.moments,
            error=self.error,
            form=self.form,
        )


class _StoredNames(msgspec.Struct, frozen=True, tag="names"):
    names: tuple[str, ...]
    counts: bytes
    other: int
    missing: int
    error: float

    def restored(self) -> Names:
        counts: Counts = np.frombuffer(self.counts, "<i8")
        if len(counts) != len(self.names):
            raise ValueError("names and counts differ in number")
        return Names(
            names=self.names,
            counts=counts,
            other=self.other,
            missing=self.missing,
            error=self.error,
        )


class _Stored(msgspec.Struct, frozen=True):
    rows: int
    columns: dict[str, _StoredNumbers | _StoredNames | None]


def _stored(whole: Sketch) -> _StoredNumbers | _StoredNames:
    if isinstance(whole, Names):
        counts = whole.counts.astype("<i8").tobytes()
        return _StoredNames(whole.names, counts, whole.other, whole.missing, whole.error)
    return _StoredNumbers(
        points=whole.points.astype("<f8").tobytes(),
        weights=None if whole.weights is None else whole.weights.astype("<f8").tobytes(),
        missing=whole.missing,
        below=whole.below,
        above=whole.above,
        least=whole.least,
        most=whole.most,
        moments=whole.moments,
        error=whole.error,
        form=whole.form,
    )


def _unreadable(path: Path, why: str) -> UnreadableReference:
    return UnreadableReference(
        f"{path} cannot be read as a prepared reference: {why}.",
        expected="a file that `tidemill.prepare(reference).save(path)` wrote",
    )
