"""A short form of the soak that `python -m benchmarks.serving soak` runs for half an hour."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.serving import soak
from tests.serving.conftest import tensors


def test_swaps_and_kills_under_load_fail_nothing(tmp_path: Path, bundles: Path) -> None:
    def body(rows: int) -> bytes:
        columns = {"a": [0.5] * rows, "b": [1.0] * rows, "c": [3] * rows}
        return json.dumps({"inputs": tensors(**columns)}).encode()

    served = soak.Served(bundles, ("one", "two"), (body(1), body(2), body(1000)))
    report = soak.run(tmp_path, served, seconds=8.0, clients=4, kill_seconds=3.0, pause=0.01)
    assert report.problems == []
    assert set(report.statuses) == {"200"}
    assert report.swaps >= 5
    assert report.kills >= 1
