"""What a candidate would have said to yesterday's requests."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tidemill.core.clock import SystemClock, micros
from tidemill.core.ids import Ids
from tidemill.core.policy import BacktestPolicy
from tidemill.models.session import OnnxModel
from tidemill.predictions.identity import ids_of, request_number
from tidemill.predictions.reader import read_labels, read_predictions
from tidemill.predictions.records import LabelRecord, LabelRow, PredictionRecord
from tidemill.predictions.writer import RecordWriter, labels_folder, predictions_folder
from tidemill.serving.backtest import backtest
from tidemill.serving.backtest_page import page
from tidemill.serving.differences import Backtest
from tidemill.serving.errors import SandboxFailed
from tidemill.serving.recorded import answered, requests_in, rows_as_requests, with_labels
from tidemill.serving.rehearsal import rehearse
from tidemill.serving.sandbox import Limits, Sandbox

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
        names = ids_of(micros(moment), 1, request_number(rng, None), count).split(",")
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


LIMITS = BacktestPolicy()


@pytest.fixture(scope="module")
def sandboxes(bundles: Path) -> Iterator[dict[str, Sandbox]]:
    """`one` and `two`, each in a sandbox."""
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(Sandbox(bundles / name, clock=CLOCK))
            for name in ("one", "two")
        }


def rows_of(recorded: Path, **stretch: datetime) -> pl.DataFrame:
    frame, _ = read_predictions(recorded, "e")
    labels, _ = read_labels(recorded, "e")
    return with_labels(answered(frame, **stretch), labels)


def replay(
    rows: pl.DataFrame,
    sandbox: Sandbox,
    *,
    segments: tuple[str, ...] = ("c", "nothing"),
    **limits: Any,
) -> Backtest:
    return backtest(
        rows,
        sandbox,
        endpoint="e",
        candidate="model:m@2",
        limits=BacktestPolicy(**limits),
        segments=segments,
    )


def test_the_same_model_changes_nothing(recorded: Path, sandboxes: dict[str, Sandbox]) -> None:
    found = replay(rows_of(recorded, until=TUESDAY), sandboxes["one"])
    assert (found.rows, found.refused, found.changed) == (400, 0, 0.0)
    assert found.largest_difference == pytest.approx(0.0, abs=1e-9)
    assert found.passed


def test_another_model_is_compared_by_segment(
    recorded: Path, sandboxes: dict[str, Sandbox]
) -> None:
    found = replay(rows_of(recorded), sandboxes["two"])
    assert found.rows == 401
    assert 0 < found.changed < 0.5
    assert {s.value for s in found.segments} == {"0", "1", "2"}
    assert sum(s.rows for s in found.segments) == 401
    changes = [s.changed for s in found.segments]
    assert changes == sorted(changes, reverse=True)
    whole = sum(s.changed * s.rows for s in found.segments) / 401
    assert whole == pytest.approx(found.changed)
    assert abs(found.examples[0].difference) == pytest.approx(found.largest_difference)


def test_a_whole_number_that_was_sent_as_3_0_is_replayed_as_it_was(
    recorded: Path, sandboxes: dict[str, Sandbox]
) -> None:
    rows = rows_of(recorded, until=TUESDAY).with_columns(pl.col("feature.c").cast(pl.Float64))
    found = replay(rows, sandboxes["one"])
    assert (found.rows, found.refused, found.changed) == (400, 0, 0.0)


def test_a_pair_of_columns_is_a_segment(recorded: Path, sandboxes: dict[str, Sandbox]) -> None:
    rows = rows_of(recorded, until=TUESDAY).with_columns(
        pl.Series("feature.a", [k % 2 for k in range(400)], dtype=pl.Float64)
    )
    found = replay(rows, sandboxes["two"], segments=("a & c",))
    assert {s.value for s in found.segments} == {f"{a}.0 & {c}" for a in (0, 1) for c in range(3)}
    assert sum(s.rows for s in found.segments) == 400


def test_limits_are_told_in_sentences_where_they_are_broken(
    recorded: Path, sandboxes: dict[str, Sandbox]
) -> None:
    rows = rows_of(recorded)
    found = replay(rows, sandboxes["two"], max_changed=0.001, max_segment_changed=0.0)
    assert not found.passed
    assert "of the answers change; 0.10% may" in found.breaches[0]
    assert any(said.startswith("Where c is ") for said in found.breaches)
    assert replay(rows, sandboxes["two"], max_changed=0.9).passed
    drawn = page(found)
    assert "model:m@2 on what e was asked" in drawn
    assert not any(mark in drawn for mark in ("src=", "href=", "url(", "@import", "<script"))


def test_labels_tell_who_was_right(recorded: Path, sandboxes: dict[str, Sandbox], ids: Ids) -> None:
    before = rows_of(recorded, until=TUESDAY)
    writer = RecordWriter(labels_folder(recorded, "e"), ids)
    rows = [
        LabelRow(label=bool(said), prediction_id=name)
        for name, said in before.select("id", "prediction").iter_rows()
    ]
    # The first half is corrected later: the last to arrive wins.
    wrong = [LabelRow(label=not r.label, prediction_id=r.prediction_id) for r in rows[:200]]
    writer.append(LabelRecord(1, wrong))
    writer.append(LabelRecord(2, rows))
    writer.close()
    found = replay(rows_of(recorded), sandboxes["two"], tolerance=0.0)
    assert found.labelled == 400
    assert found.loss is not None
    assert found.answered_loss is not None
    assert found.loss > found.answered_loss
    assert sum(s.labelled for s in found.segments) == 400
    assert found.examples[0].label in {"True", "False"}
    # All of Monday is one request: that proves nothing yet.
    assert found.loss_interval is None
    assert found.passed


def test_a_candidate_that_takes_other_columns_refuses_and_says_why(
    recorded: Path, bundles: Path
) -> None:
    with Sandbox(bundles / "words", clock=CLOCK) as sandbox:
        found = replay(rows_of(recorded, since=TUESDAY), sandbox)
    assert (found.rows, found.refused) == (1, 1)
    assert "carrier" in found.refusal
    assert "would be refused" in found.breaches[0]


def test_requests_are_asked_again_as_they_were(recorded: Path) -> None:
    rows = rows_of(recorded)
    found = requests_in(rows, 10)
    assert sum(r.count for r in found) == 401
    assert found[0].columns.keys() == {"a", "b", "c"}
    assert requests_in(rows, 1)[0].columns["a"] == rows["feature.a"].to_list()[-1:]


def test_a_candidate_is_measured_beside_the_champion_on_the_same_requests(
    recorded: Path, bundles: Path
) -> None:
    requests = rows_as_requests(
        pl.DataFrame({"a": [0.1, 0.2], "b": [1.0, 2.0], "c": [1, 2]}), ("a", "b", "c"), 300
    )
    mine, theirs = rehearse([bundles / "two", bundles / "one"], requests, clock=CLOCK)
    for found in (mine, theirs):
        assert found.requests == 300
        assert (found.refused, found.failed) == (0, 0)
        assert 0 < found.latency_p50_ms <= found.latency_p99_ms
        assert 10 < found.memory_mb < 1000
        assert found.startup_s > 0


def test_a_candidate_that_takes_too_much_memory_is_ended_and_says_so(bundles: Path) -> None:
    limits = Limits(memory_mb=5)
    with (
        pytest.raises(SandboxFailed, match="MB of memory"),
        Sandbox(bundles / "one", clock=CLOCK, limits=limits),
    ):
        pytest.fail("it was let in")


def test_a_damaged_candidate_says_what_is_wrong(bundles: Path, tmp_path: Path) -> None:
    shutil.copytree(bundles / "one", tmp_path / "broken")
    (tmp_path / "broken" / "model.onnx").write_bytes(b"nonsense")
    with (
        pytest.raises(SandboxFailed, match="cannot be loaded"),
        Sandbox(tmp_path / "broken", clock=CLOCK),
    ):
        pytest.fail("it was let in")


def test_a_sandbox_knows_nothing_of_us(bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRET_TOKEN", "hush")
    with Sandbox(bundles / "one", clock=CLOCK) as sandbox:
        assert sandbox._process is not None
        pid = sandbox._process.pid
        assert b"hush" not in Path(f"/proc/{pid}/environ").read_bytes()
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "Max core file size        0" in limits
    assert not Path(f"/proc/{pid}").exists()


def test_what_is_only_rounded_otherwise_is_no_difference(
    recorded: Path, sandboxes: dict[str, Sandbox]
) -> None:
    rows = rows_of(recorded, until=TUESDAY).with_columns(pl.col("score") * (1 + 2e-16))
    found = replay(rows, sandboxes["one"])
    assert (found.mean_difference, found.largest_difference, found.examples) == (0.0, 0.0, ())
