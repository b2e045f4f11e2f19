"""Measures the prediction log: appending, compacting, reading, and Arrow in its place.

Times are processor time, which holds on a busy machine too. `--rows` are flights of one day with
twenty features, one a request.
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks import results
from tidemill.core.clock import SimulatedClock, SystemClock, micros
from tidemill.core.ids import Ids
from tidemill.predictions.compaction import compact
from tidemill.predictions.finding import find_prediction
from tidemill.predictions.gathering import Gathering
from tidemill.predictions.reader import read_predictions
from tidemill.predictions.reading import scan
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.requests import LoggedRequest, RequestGroup
from tidemill.predictions.writer import RecordWriter, predictions_folder

START = datetime(2013, 2, 1, tzinfo=UTC)
NUMBERS = tuple(f"f{n}" for n in range(17))


def main() -> None:
    """Measure, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        lines = [*_appending(Path(folder)), *_one_day(Path(folder), given.rows)]
    text = "| what | measured |\n|---|---|\n" + "\n".join(f"| {a} | {b} |" for a, b in lines)
    said = "Times are processor time of the process.\n\n" + text + "\n\n" + _memory()
    results.write("Prediction log", "python -m benchmarks.predictions", said)


def flight(rng: random.Random, time_: int, identifier: str, number: int) -> PredictionRecord:
    """Return one request of one row: measured values with two decimals, names, whole numbers."""
    features: dict[str, Any] = {n: [round(rng.gauss(20, 8), 2)] for n in NUMBERS}
    features |= {"carrier": [rng.choice(("AA", "UA", "DL"))], "hour": [number % 24]}
    return PredictionRecord(
        time_,
        "flights",
        1,
        "champion",
        "",
        250,
        "ok",
        [identifier],
        [f"20130201-{number}"],
        features | {"dest": ["SFO"]},
        [number % 3 == 0],
        [rng.random()],
    )


def _appending(folder: Path) -> list[tuple[str, str]]:
    rng, ids = random.Random(0), Ids(SystemClock())
    record = flight(rng, micros(START), ids.new(), 1)
    wide = PredictionRecord(
        micros(START),
        "flights",
        1,
        "champion",
        "",
        250,
        "ok",
        [ids.new() for _ in range(1000)],
        None,
        {n: np.random.default_rng(0).random(1000) for n in (*NUMBERS, "x", "y", "z")},
        np.zeros(1000, dtype=bool),
        np.zeros(1000),
    )
    writer = RecordWriter(folder / "append", ids)
    shared = RequestGroup("flights", 1, "champion", 1.0, ["f"] * 20, ["float"] * 20, [], [])
    gathering = Gathering(shared)

    def gathered(rows: int, together: int) -> Callable[[], None]:
        request = LoggedRequest(
            *(micros(START), ids.new(), rows, "", 250, "ok", np.zeros(rows).tolist()),
            *(np.zeros(rows).tolist(), 0, "", bytes(rows * 20 * 8)),
        )
        return lambda: (writer.gather(gathering, [request] * together), None)[1]

    def appended(what: PredictionRecord) -> Callable[[], None]:
        return lambda: (writer.append(what), None)[1]

    some = _micros(gathered(1, 16), 200, writer.flush) / 16
    large = _micros(gathered(1000, 1), 50, writer.flush)
    one = _micros(appended(record), 2000, writer.flush)
    many = _micros(appended(wide), 50, writer.flush)
    lists = PredictionRecord(
        *[getattr(wide, n) for n in wide.__struct_fields__[:9]],
        {n: v.tolist() for n, v in wide.features.items()},
        wide.predictions.tolist(),
        wide.scores.tolist(),
    )
    plain = _micros(appended(lists), 50, writer.flush)
    writer.close()
    return [
        ("hand over a request of one row, 20 features, 16 at once", f"{some:.2f} µs"),
        ("hand over a request of 1,000 rows", f"{large:.0f} µs"),
        ("append a record of one row, 20 features", f"{one:.1f} µs"),
        ("the same, as an Arrow record batch", f"{_arrow(record):.0f} µs"),
        ("append a record of 1,000 rows, columns as arrays", f"{many:.0f} µs"),
        ("the same, columns as lists", f"{plain:.0f} µs"),
    ]


def _arrow(record: PredictionRecord) -> float:
    """Return what one row costs as a batch of an Arrow stream, its columns built one by one."""
    import pyarrow as pa

    def columns() -> dict[str, list[Any]]:
        return {"id": record.ids, "time": [record.time], "score": record.scores} | record.features

    schema = pa.RecordBatch.from_pydict(columns()).schema
    stream = pa.ipc.new_stream(pa.BufferOutputStream(), schema)
    return _micros(
        lambda: stream.write_batch(pa.RecordBatch.from_pydict(columns(), schema=schema)), 500
    )


def _micros(
    work: Callable[[], None], times: int, between: Callable[[], None] | None = None
) -> float:
    """Return how long something takes: the median of nine rounds, without the collector's work."""
    rounds = []
    for _ in range(9):
        gc.collect()
        begun = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - begun) / times * 1e6)
        if between is not None:
            between()
    return statistics.median(rounds)


def _one_day(folder: Path, rows: int) -> list[tuple[str, str]]:
    rng, clock = random.Random(0), SimulatedClock(START)
    ids = Ids(clock, rng)
    writer = RecordWriter(predictions_folder(folder, "e"), ids)
    step, made = 86_000 / rows, []
    for number in range(rows):
        made.append(ids.new())
        writer.append(flight(rng, micros(clock.now()), made[-1], number))
        if number % 5000 == 0:
            writer.flush()
        clock.sleep(step)
    writer.close()
    hot = _seconds(lambda: read_predictions(folder, "e"))
    begun = time.process_time()
    (done,) = compact(folder, "e", "predictions")
    compacting = time.process_time() - begun
    cold = _seconds(lambda: read_predictions(folder, "e"))
    mean = _seconds(lambda: scan(folder, "e").select(pl.col("latency_us").mean()).collect())
    found = _seconds(lambda: find_prediction(folder, made[rows // 2]))
    noon = START.replace(hour=12)
    hour = _seconds(
        lambda: scan(folder, "e", since=noon, until=noon.replace(hour=13)).collect().height
    )
    before, after = done.bytes_before / rows, done.bytes_after / rows
    return [
        ("a prediction in a segment", f"{before:.0f} bytes"),
        ("a prediction in Parquet", f"{after:.0f} bytes"),
        ("compact a day, verified", f"{rows / compacting:,.0f} rows/s"),
        (f"read a day of {rows:,} from segments", f"{hot:.2f} s, {rows / hot:,.0f} rows/s"),
        (f"read a day of {rows:,} from Parquet", f"{cold:.2f} s, {rows / cold:,.0f} rows/s"),
        ("an average over it, lazily", f"{1000 * mean:.0f} ms"),
        ("one hour of it", f"{1000 * hour:.0f} ms"),
        ("find a prediction by its id", f"{1000 * found:.0f} ms"),
    ]


def _seconds(work: Callable[[], object]) -> float:
    rounds = []
    for _ in range(3):
        begun = time.process_time()
        work()
        rounds.append(time.process_time() - begun)
    return statistics.median(rounds)


def _memory() -> str:
    """Return what pyarrow would add to a worker."""
    program = (
        "import sys\n"
        "def rss():\n"
        "    pages = int(open('/proc/self/statm').read().split()[1])\n"
        "    return pages * 4096 / 1e6\n"
        "import tidemill.serving.worker.process\n"
        "before = rss()\n"
        "import pyarrow, pyarrow.ipc, pyarrow.parquet\n"
        "print(f'{before:.0f} {rss() - before:.0f}')\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    before, more = said.stdout.split()
    return (
        f"A worker's modules take {before} MB of resident memory; importing pyarrow beside them "
        f"{more} MB more."
    )


if __name__ == "__main__":
    main()
