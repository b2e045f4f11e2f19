"""Scores tables with a bundle: read by one thread, answered by many, written in order.

Each working thread has a model of its own that computes on one thread, so that they never wait
for each other. Only a few batches are under way at once, whatever the size of the files.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

import msgspec
import numpy as np
import pyarrow as pa

from tidemill.core.clock import Clock
from tidemill.core.contract import Contract
from tidemill.core.ids import Ids
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Values
from tidemill.models.records import Signature
from tidemill.models.runtime.opening import Answering, Surroundings, answering
from tidemill.models.session import OnnxModel, Prediction
from tidemill.serving.batch.arrays import values_of
from tidemill.serving.batch.errors import BadFormat, RowsRefused
from tidemill.serving.batch.identifiers import make_ids
from tidemill.serving.batch.reading import Stretch, find_files, read
from tidemill.serving.batch.records import Invalid, Keep, Report, Scored
from tidemill.serving.batch.writing import writing

OURS = frozenset({"prediction_id", "prediction", "score", "problem"})
"""Columns of the output that an input's column of that name gives way to."""
Deliver = Callable[[Scored], None]


class _Answer(NamedTuple):
    stretch: Stretch
    prediction: Prediction
    problems: dict[int, str]


def score(
    source: Path | str | Sequence[Path],
    output: Path,
    bundle: Path,
    *,
    ids: Ids,
    clock: Clock,
    threads: int | None = None,
    surroundings: Surroundings,
    keep: Keep = "keys",
    invalid: Invalid = "refuse",
    deliver: Deliver | None = None,
    progress: Callable[[int], None] | None = None,
) -> Report:
    """Answer for every row of some files.

    The output has `prediction_id`, the columns that are kept, `prediction`, and `score` (binary)
    or `score.LABEL` (multiclass), and `problem` where a row does not fit.

    Args:
        source: A Parquet or CSV file, a folder of them, a pattern, or a list.
        output: Where to; the suffix says whether Parquet or CSV. It appears whole, at the end.
        bundle: The model.
        ids: Make the predictions' ids.
        clock: Measures how long it took.
        threads: How many work; all of the machine's where it is left out.
        surroundings: What a model without a twin is run with.
        keep: `keys` keeps the key and time columns of the contract, `all` every column.
        invalid: `refuse` stops at the first row that does not fit, `mark` says so in the output.
        deliver: Is called with all answers in order, for the prediction letterbox.
        progress: Is called with the number of rows done so far.

    Raises:
        NoInput: There is no file.
        InputUnreadable: A file cannot be read, or lacks a column.
        RowsRefused: A row does not fit the contract.
    """
    started = clock.monotonic()
    files = find_files(source)
    if any(_same(path, output) for path in files):
        raise BadFormat(f"{output} is one of the files to read.", expected="another file")
    with ExitStack() as opened:
        models = _open(opened, bundle, surroundings, threads or os.cpu_count() or 1, clock)
        manifest = models[0].manifest
        rows = marked = 0
        stretches = read(files, manifest.signature.features, manifest.contract.columns)
        first = next(stretches)
        kept = _kept(manifest.contract, first.rows.schema.names, keep)
        with writing(output, manifest.signature, kept, marks=invalid == "mark") as writer:
            for answer in _in_order(chain([first], stretches), models, invalid):
                count = answer.stretch.rows.num_rows
                scored = Scored(
                    ids=make_ids(ids, count),
                    rows=answer.stretch.rows,
                    values=answer.prediction.values,
                    scores=answer.prediction.scores,
                    problems=answer.problems,
                )
                writer.write(scored)
                if deliver is not None:
                    deliver(scored)
                rows, marked = rows + count, marked + len(answer.problems)
                if progress is not None:
                    progress(rows)
    return Report(
        model=manifest.name,
        files=tuple(map(str, files)),
        output=str(output),
        rows=rows,
        invalid=marked,
        seconds=clock.monotonic() - started,
        threads=len(models),
    )


def _same(path: Path, output: Path) -> bool:
    return output.exists() and path.samefile(output)


def _open(
    opened: ExitStack, bundle: Path, surroundings: Surroundings, threads: int, clock: Clock
) -> list[Answering]:
    """Open a model for each thread; one without a twin has a process for each."""
    limits = msgspec.structs.replace(surroundings.limits, processes=threads)
    here = msgspec.structs.replace(surroundings, limits=limits)
    first = opened.enter_context(answering(bundle, here, clock=clock))
    if isinstance(first, OnnxModel):
        return [first, *(OnnxModel(bundle, verify=False) for _ in range(threads - 1))]
    return [first] * threads


def _kept(contract: Contract, names: Sequence[str], keep: Keep) -> tuple[str, ...]:
    if keep == "all":
        return tuple(n for n in names if n not in OURS and not n.startswith("score."))
    wanted = [c.name for c in (contract.key, contract.time) if c is not None]
    return tuple(n for n in wanted if n in names)


def _in_order(
    stretches: Iterable[Stretch], models: Sequence[Answering], invalid: Invalid
) -> Iterator[_Answer]:
    """Answer in parallel and hand the answers out in the order of the rows."""
    idle: SimpleQueue[Answering] = SimpleQueue()
    for model in models:
        idle.put(model)

    def answer(stretch: Stretch) -> _Answer:
        model = idle.get()
        try:
            return _answer(model, stretch, invalid)
        finally:
            idle.put(model)

    under_way: deque[Future[_Answer]] = deque()
    with ThreadPoolExecutor(len(models), thread_name_prefix="tidemill-batch") as pool:
        try:
            for stretch in stretches:
                under_way.append(pool.submit(answer, stretch))
                if len(under_way) > 2 * len(models):
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()
        finally:
            for future in under_way:
                future.cancel()


def _answer(model: Answering, stretch: Stretch, invalid: Invalid) -> _Answer:
    if stretch.rows.num_rows == 0:
        return _Answer(stretch, _spread(model, stretch.rows, []), {})
    try:
        return _Answer(stretch, model.predict(_columns(model.signature, stretch.rows)), {})
    except InvalidInput as error:
        if invalid == "refuse":
            at = next(iter(_problems(model, stretch.rows, most=1)), 0)
            raise RowsRefused(
                f"Row {stretch.first + at + 1:,} of {stretch.path} does not fit: {error.what}",
                expected=error.expected,
                hint="Mark such rows instead of stopping with --invalid mark.",
            ) from error
    problems = _problems(model, stretch.rows)
    good = [at for at in range(stretch.rows.num_rows) if at not in problems]
    return _Answer(stretch, _spread(model, stretch.rows, good), problems)


def _columns(signature: Signature, rows: pa.RecordBatch) -> dict[str, Values]:
    return {c.name: values_of(c, rows.column(c.name)) for c in signature.features}


def _problems(
    model: Answering, rows: pa.RecordBatch, *, first: int = 0, most: int | None = None
) -> dict[int, str]:
    """Find the rows that do not fit by halving; returns what is wrong by row."""
    try:
        model.encoder.encode(_columns(model.signature, rows))
    except InvalidInput as error:
        if rows.num_rows == 1:
            return {first: error.what}
    else:
        return {}
    half = rows.num_rows // 2
    found = _problems(model, rows.slice(0, half), first=first, most=most)
    if most is None or len(found) < most:
        found |= _problems(model, rows.slice(half), first=first + half, most=most)
    return found


def _spread(model: Answering, rows: pa.RecordBatch, good: list[int]) -> Prediction:
    """Answer for some of the rows, and leave room for the others."""
    signature, count = model.signature, rows.num_rows
    wide = (count, len(signature.classes)) if signature.task == "multiclass" else (count,)
    scores = None if signature.task == "regression" else np.zeros(wide)
    values = np.zeros(count, dtype=object if signature.task != "regression" else np.float64)
    if good:
        answer = model.predict(_columns(signature, rows.take(pa.array(good))))
        values[good] = answer.values
        if scores is not None and answer.scores is not None:
            scores[good] = answer.scores
    return Prediction(values, scores)
