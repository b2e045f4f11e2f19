"""Scores files for `tidemill predict`: progress on a terminal, and the letterbox if asked for."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tidemill.core.clock import SystemClock, micros
from tidemill.core.ids import Ids
from tidemill.models.bundle import open_bundle
from tidemill.models.runtime.opening import Surroundings
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.writer import RecordWriter, predictions_folder
from tidemill.registry.records import ModelVersion
from tidemill.serving.batch.records import Invalid, Keep, Report, Scored
from tidemill.serving.batch.scoring import score


def score_files(
    source: str,
    output: Path,
    bundle: Path,
    *,
    version: ModelVersion,
    home: Path | None,
    surroundings: Surroundings,
    threads: int | None,
    keep: Keep,
    invalid: Invalid,
) -> Report:
    """Score files, and show how far it is.

    Args:
        source: A file, a folder, or a pattern.
        output: Where to.
        bundle: The version's bundle.
        version: Which version it is.
        home: Whose monitor is to watch the predictions as well; nobody's where it is left out.
        surroundings: What a model without a twin is run with.
        threads: How many work.
        keep: Which columns of the input stay.
        invalid: What happens to rows that do not fit.
    """
    clock = SystemClock()
    ids = Ids(clock)
    with _letterbox(home, version, bundle, ids, clock) as deliver:
        report = score(
            source,
            output,
            bundle,
            ids=ids,
            clock=clock,
            surroundings=surroundings,
            threads=threads,
            keep=keep,
            invalid=invalid,
            deliver=deliver,
            progress=_progress if sys.stderr.isatty() else None,
        )
    if sys.stderr.isatty():
        sys.stderr.write("\r\033[K")
    return report


@contextlib.contextmanager
def _letterbox(
    home: Path | None, version: ModelVersion, bundle: Path, ids: Ids, clock: SystemClock
) -> Iterator[Callable[[Scored], None] | None]:
    if home is None:
        yield None
        return
    manifest = open_bundle(bundle, verify=False)
    names = [c.name for c in manifest.signature.features]
    key = manifest.contract.key.name if manifest.contract.key else None
    writer = RecordWriter(predictions_folder(home / "predictions", version.model), ids)

    def deliver(scored: Scored) -> None:
        columns: dict[str, list[Any]] = scored.rows.select(names).to_pydict()
        present = key is not None and key in scored.rows.schema.names
        keys: list[str | None] | None = None
        if present:
            keys = [str(k) for k in scored.rows.column(key).to_pylist()]
        writer.append(
            PredictionRecord(
                time=micros(clock.now()),
                model=version.model,
                version=version.version,
                role="champion",
                request_id="batch",
                latency_us=0,
                status="ok",
                ids=scored.ids.to_pylist(),
                keys=keys,
                features=columns,
                predictions=scored.values.tolist(),
                scores=None if scored.scores is None else scored.scores.tolist(),
            )
        )
        writer.flush()

    try:
        yield deliver
    finally:
        writer.close()


def _progress(rows: int) -> None:
    sys.stderr.write(f"\r\033[K{rows:,} rows")
    sys.stderr.flush()
