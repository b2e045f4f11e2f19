"""A prediction is traced to its version, whatever became of the model's name since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.predictions.letters import deliver, record

from tidemill.core.clock import micros
from tidemill.core.ids import Ids
from tidemill.home import Home
from tidemill.loop.records import Link

ME = "user:me"


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    with Home.open(tmp_path / "home") as home:
        yield home


@pytest.fixture
def prediction(home: Home) -> str:
    """An answer of version 1 of the model `m`."""
    _register(home, "m")
    sent = record(Ids(home.clock), at=micros(home.clock.now()))
    deliver(home.predictions_folder, Ids(home.clock), sent)
    return sent.ids[0]


def _register(home: Home, name: str) -> None:
    home.catalogue.create(name, actor=ME)
    home.registry.register_files(name, f"s3://bucket/{name}", actor=ME)


def test_a_run_that_says_little_is_told_with_what_it_says(home: Home) -> None:
    tags = {"mlflow.source.name": "train.py", "mlflow.source.git.commit": "abc123"}
    experiment = home.tracking.experiment("e").id
    run = home.tracking.start_run(experiment, actor=ME, name="p", tags=tags)
    home.catalogue.create("m", actor=ME)
    home.registry.register_files("m", f"runs:/{run.id}/model", actor=ME, run_id=run.id)
    sent = record(Ids(home.clock), at=micros(home.clock.now()))
    deliver(home.predictions_folder, Ids(home.clock), sent)
    links = home.tracer.trace(sent.ids[0]).links
    assert [link.what for link in links] == ["prediction", "model version", "run", "code"]
    assert links[2].facts == {"name": "p", "status": "RUNNING", "started by": ME}
    assert links[3].facts == {"commit": "abc123", "program": "train.py"}


def test_a_run_that_is_not_here_is_named(home: Home) -> None:
    home.catalogue.create("m", actor=ME)
    home.registry.register_files("m", "s3://bucket/m", actor=ME, run_id="f" * 32)
    sent = record(Ids(home.clock), at=micros(home.clock.now()))
    deliver(home.predictions_folder, Ids(home.clock), sent)
    last = home.tracer.trace(sent.ids[0]).links[-1]
    assert (last.reference, last.facts) == (f"run:{'f' * 32}", {"status": "not here"})


def _version(home: Home, prediction: str) -> Link:
    (found,) = (
        link for link in home.tracer.trace(prediction).links if link.what == "model version"
    )
    return found


def test_a_model_that_was_renamed_is_found_under_its_name_now(home: Home, prediction: str) -> None:
    assert _version(home, prediction).reference == "model:m@1"
    home.catalogue.rename("m", "n", actor=ME)
    _register(home, "m")  # another one, that has the name since
    home.catalogue.rename("n", "o", actor=ME)
    found = _version(home, prediction)
    assert found.reference == "model:o@1"
    assert found.facts["then"] == "model:m@1"


def test_a_version_that_was_deleted_is_named_all_the_same(home: Home, prediction: str) -> None:
    home.catalogue.delete("m", actor=ME)
    found = _version(home, prediction)
    assert (found.reference, found.facts) == ("model:m@1", {"status": "deleted since"})
