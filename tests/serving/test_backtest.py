"""What a candidate would have said to yesterday's requests."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tidemill.core.clock import SystemClock, micros
from tidemill.core.ids import Ids
from tidemill.models.session import OnnxModel
from tidemill.predictions.records import PredictionRecord
from tidemill.predictions.writer import RecordWriter, predictions_folder
from tidemill.serving.backtest import backtest

CLOCK = SystemClock()
MONDAY = datetime(2013, 3, 4, tzinfo=UTC)
TUESDAY = datetime(2013, 3, 5, tzinfo=UTC)


@pytest.fixture
def recorded(tmp_path: Path, bundles: Path, ids: Ids) -> Path:
    """Four hundred requests that `one` answered on Monday, and one of Tuesday."""
    model = OnnxModel(bundles / "one")
    rng = random.Random(0)
    rows = {
        "a": [rng.gauss(0, 1) for _ in range(400)],
        "b": [rng.gauss(0, 1) for _ in range(400)],
        "c": [rng.randrange(3) for _ in range(400)],
    }
    writer = RecordWriter(predictions_folder(tmp_path, "e"), ids)
    for moment, count in ((MONDAY, 400), (TUESDAY, 1)):
        features = {name: values[:count] for name, values in rows.items()}
        said = model.predict(features)
        assert said.scores is not None
        names = [ids.new() for _ in range(count)]
        writer.append(
            PredictionRecord(
                micros(moment),
                "m",
                1,
                "champion",
                "",
                1,
                "ok",
                names,
                None,
                features,
                said.values.tolist(),
                said.scores.tolist(),
            )
        )
    writer.close()
    return tmp_path


def test_the_same_model_changes_nothing(recorded: Path, bundles: Path) -> None:
    found = backtest(recorded, "e", bundles / "one", clock=CLOCK, until=TUESDAY)
    assert (found.rows, found.refused, found.changed) == (400, 0, 0.0)
    assert found.largest_difference == pytest.approx(0.0, abs=1e-12)
    assert 0 < found.p50_ms <= found.p99_ms


def test_another_model_is_compared_by_segment(recorded: Path, bundles: Path) -> None:
    found = backtest(recorded, "e", bundles / "two", clock=CLOCK, segments=("c", "nothing"))
    assert found.rows == 401
    assert 0 < found.changed < 0.5
    assert {s.value for s in found.segments} == {"0", "1", "2"}
    assert sum(s.rows for s in found.segments) == 401
    changes = [s.changed for s in found.segments]
    assert changes == sorted(changes, reverse=True)
    whole = sum(s.changed * s.rows for s in found.segments) / 401
    assert whole == pytest.approx(found.changed)


def test_a_candidate_that_takes_other_columns_refuses_and_says_why(
    recorded: Path, bundles: Path
) -> None:
    found = backtest(recorded, "e", bundles / "words", clock=CLOCK, since=TUESDAY)
    assert (found.rows, found.refused) == (1, 1)
    assert "'carrier'" in found.refusal


def test_nothing_recorded_is_no_difference(tmp_path: Path, bundles: Path) -> None:
    found = backtest(tmp_path, "e", bundles / "one", clock=CLOCK)
    assert (found.rows, found.changed, found.p99_ms) == (0, 0.0, 0.0)
