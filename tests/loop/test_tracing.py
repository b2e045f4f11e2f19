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
