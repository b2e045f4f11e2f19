"""Writes answers into one file, whole or not at all."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from numpy.typing import NDArray

from tidemill.models.records import Signature
from tidemill.serving.batch.errors import BadFormat
from tidemill.serving.batch.reading import CSV, PARQUET
from tidemill.serving.batch.records import Scored

_ROW_GROUP = 262_144


class AnswerWriter:
    """Gathers answers and writes them as row groups.

    Args:
        path: The draft.
        signature: Says which columns there are.
        kept: Which of the input's columns are kept.
        csv: Whether it is a CSV file.
        marks: Whether there is a column for what is wrong with a row.
    """

    def __init__(
        self,
        path: Path,
        signature: Signature,
        kept: tuple[str, ...],
        *,
        csv: bool,
        marks: bool,
    ) -> None:
        self._path = path
        self._signature = signature
        self._kept = kept
        self._csv = csv
        self._marks = marks
        self._sink: Any = None
        self._schema: pa.Schema | None = None
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0

    def write(self, scored: Scored) -> None:
        """Take some answers."""
        batch = self._batch(scored)
        if self._schema is None:
            self._schema = batch.schema
            kind = pyarrow.csv.CSVWriter if self._csv else pyarrow.parquet.ParquetWriter
            # Ids never repeat: looking for repetitions is what writing would mostly do.
            options = {} if self._csv else {"use_dictionary": False}
            self._sink = kind(str(self._path), batch.schema, **options)
        self._waiting.append(batch.cast(self._schema))
        self._rows += batch.num_rows
        if self._rows >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """Write what is waiting and sync it."""
        self._flush()
        self._sink.close()
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def abandon(self) -> None:
        """Close without caring for the content."""
        if self._sink is not None:
            self._sink.close()

    def _flush(self) -> None:
        if self._waiting:
            schema = self._schema
            self._sink.write_table(pa.Table.from_batches(self._waiting, schema=schema))
        self._waiting, self._rows = [], 0

    def _batch(self, scored: Scored) -> pa.RecordBatch:
        problems = scored.problems
        absent = np.zeros(len(scored.ids), dtype=bool)
        absent[list(problems)] = True
        columns: dict[str, pa.Array] = {"prediction_id": scored.ids}
        columns |= {name: scored.rows.column(name) for name in self._kept}
        columns |= self._answers(scored, absent)
        if self._marks:
            said = [problems.get(at) for at in range(len(scored.ids))]
            columns["problem"] = pa.array(said, pa.string())
        return pa.RecordBatch.from_arrays(list(columns.values()), names=list(columns))

    def _answers(self, scored: Scored, absent: NDArray[np.bool_]) -> dict[str, pa.Array]:
        kind = _kind(self._signature)
        answers = {"prediction": pa.array(scored.values, kind, mask=absent)}
        if scored.scores is None:
            return answers
        if scored.scores.ndim == 1:
            return answers | {"score": pa.array(scored.scores, pa.float64(), mask=absent)}
        for at, label in enumerate(self._signature.classes):
            answers[f"score.{label}"] = pa.array(
                np.ascontiguousarray(scored.scores[:, at]), pa.float64(), mask=absent
            )
        return answers


@contextmanager
def writing(
    output: Path, signature: Signature, kept: tuple[str, ...], *, marks: bool
) -> Iterator[AnswerWriter]:
    """Write beside `output`, and put the file there when everything is in it.

    Raises:
        BadFormat: The name is neither Parquet's nor CSV's.
    """
    suffix = output.suffix.lower()
    if suffix not in PARQUET | {".csv"}:
        raise BadFormat(
            f"{output} is no table by its name.",
            expected="one of " + ", ".join(sorted(PARQUET | {".csv"})),
        )
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f".{output.name}.{secrets.token_hex(4)}.part")
    writer = AnswerWriter(draft, signature, kept, csv=suffix in CSV, marks=marks)
    try:
        yield writer
        writer.close()
        draft.replace(output)
        _sync_folder(output.parent)
    except BaseException:
        writer.abandon()
        raise
    finally:
        draft.unlink(missing_ok=True)


def _kind(signature: Signature) -> pa.DataType:
    if signature.task == "regression":
        return pa.float64()
    kinds = {type(c) for c in signature.classes}
    if kinds == {bool}:
        return pa.bool_()
    return pa.int64() if kinds <= {bool, int} else pa.string()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
