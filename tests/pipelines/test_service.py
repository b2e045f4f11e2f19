"""Pipeline runs: cache, retries, failures, and going on where the last owner was killed."""

from __future__ import annotations

import importlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.pipelines.errors import BadPipeline
from tidemill.pipelines.records import PipelineRun
from tidemill.pipelines.service import Pipelines
from tidemill.pipelines.steps import Node, pipeline, step
from tidemill.tracking.service import Tracking

from .conftest import PROGRAMS

Go = Callable[..., PipelineRun]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A user's module with steps."""
    monkeypatch.syspath_prepend(str(PROGRAMS))
    yield importlib.import_module("counting")
    sys.modules.pop("counting", None)


@pytest.fixture
def go(pipelines: Pipelines, ids: Ids) -> Go:
    """Runs a graph, under a new id unless one is given."""

    def run(nodes: list[Node], run_id: str = "", **options: Any) -> PipelineRun:
        return pipelines.run(
            "test", nodes, run_id=run_id or ids.new(), actor="test", code=PROGRAMS, **options
        )

    return run


def test_values_flow_and_a_second_run_takes_them_from_the_cache(
    go: Go, counting: Any, pipelines: Pipelines, journal: Journal, tmp_path: Path
) -> None:
    first, second = (go(counting.counted.graph(str(tmp_path))) for _ in range(2))
    assert statuses(first) == ["finished", "finished"]
    assert statuses(second) == ["cached", "cached"]
    assert pipelines.value(first, "total") == pipelines.value(second, "total") == 60
    assert (tmp_path / "numbers").read_text() == "x"
    assert len(journal.read(types=("run.step-ended",))) == 4


def test_other_code_and_a_fresh_run_do_not_use_the_cache(
    go: Go, counting: Any, tmp_path: Path
) -> None:
    go(counting.counted.graph(str(tmp_path)), code_digest="a")
    assert statuses(go(counting.counted.graph(str(tmp_path)), code_digest="b")) == ["finished"] * 2
    again = go(counting.counted.graph(str(tmp_path)), code_digest="a", fresh=True)
    assert statuses(again) == ["finished"] * 2


def test_another_environment_does_not_use_the_cache(
    go: Go, counting: Any, pipelines: Pipelines, tmp_path: Path
) -> None:
    go(counting.counted.graph(str(tmp_path)))
    pipelines._environment = "another"  # type: ignore[misc]
    assert statuses(go(counting.counted.graph(str(tmp_path)))) == ["finished"] * 2


def test_a_step_is_tried_again_as_often_as_it_says(go: Go, counting: Any, tmp_path: Path) -> None:
    assert statuses(go(counting.stubborn.graph(str(tmp_path)))) == ["finished"]
    assert (tmp_path / "third_time").read_text() == "xxx"


def test_a_bug_in_a_step_of_the_owner_fails_the_run(
    go: Go, pipelines: Pipelines, tracking: Tracking
) -> None:
    @step(isolated=False)
    def divide() -> float:
        return 1 / 0

    run = go(pipeline(divide).graph())
    assert run.status == "failed"
    assert "ZeroDivisionError" in str(run.error)
    assert "Traceback" in pipelines.log(run.id, "divide")
    assert tracking.get(run.id).status == "FAILED"


def test_a_step_that_a_child_cannot_import_is_refused_in_words(go: Go) -> None:
    @step
    def local() -> int:
        return 1

    run = go(pipeline(local).graph())
    assert run.status == "failed"
    assert "cannot be imported by a child process" in str(run.error)


def test_a_step_made_from_a_step_is_that_step_with_other_options(counting: Any) -> None:
    patient = step(timeout=60.0, cache=False)(counting.third_time)
    assert (patient.name, patient.timeout, patient.cache, patient.retries) == (
        "third_time",
        60.0,
        False,
        0,
    )
    assert patient.function is counting.third_time.function


def test_a_step_s_value_cannot_be_unpacked_in_a_pipeline(counting: Any) -> None:
    def unpacks() -> None:
        _, _ = counting.numbers("folder")

    with pytest.raises(BadPipeline, match="parts\\[0\\]"):
        pipeline(unpacks).graph()


def test_a_pipeline_without_steps_is_refused() -> None:
    with pytest.raises(BadPipeline, match="calls no step"):
        pipeline(lambda: None).graph()


def test_a_killed_owner_s_run_is_marked_and_goes_on_at_the_step_it_was_in(
    go: Go, counting: Any, pipelines: Pipelines, tracking: Tracking, ids: Ids, tmp_path: Path
) -> None:
    run_id = ids.new()
    owner = subprocess.Popen([sys.executable, str(PROGRAMS / "owner.py"), str(tmp_path), run_id])
    try:
        wait_for(tmp_path / "wait", owner)
    finally:
        owner.kill()
        owner.wait()

    assert [r.id for r in pipelines.recover()] == [run_id]
    assert pipelines.recover() == []
    marked = pipelines.get(run_id)
    assert marked.status == "interrupted"
    assert statuses(marked) == ["finished", "running", "pending"]
    assert tracking.get(run_id).status == "KILLED"

    (tmp_path / "go").touch()
    run = go(counting.held_up.graph(str(tmp_path)), run_id)
    assert statuses(run) == ["finished"] * 3
    assert pipelines.value(run, "total") == 60
    assert (tmp_path / "numbers").read_text() == "x"
    assert (tmp_path / "wait").read_text() == "xx"
    assert tracking.get(run_id).status == "FINISHED"


def statuses(run: PipelineRun) -> list[str]:
    return [s.status for s in run.steps]


def wait_for(path: Path, owner: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while not path.exists():
        assert owner.poll() is None, "the owner ended by itself"
        assert time.monotonic() < deadline
        time.sleep(0.02)
