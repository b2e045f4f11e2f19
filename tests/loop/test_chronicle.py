"""The history of a model tells of every change, with who and why, whatever it was called then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.references import Ref
from tidemill.home import Home
from tidemill.registry.errors import ModelNotFound
from tidemill.serving.events import Deployed, RolloutMoved

ME, OTHER = "user:me", "user:other"


@pytest.fixture
def home(tmp_path: Path, clock: SimulatedClock) -> Iterator[Home]:
    with Home.open(tmp_path / "home", clock=clock) as opened:
        yield opened


def _told(home: Home, model: str) -> list[tuple[str, str, int | None, str, str, str, str]]:
    return [
        (c.what, c.name, c.version, c.before, c.after, c.actor, c.reason)
        for c in home.chronicle.of(model)[::-1]
    ]


def test_everything_is_told_with_who_and_why(home: Home) -> None:
    home.catalogue.create("m", actor=ME)
    for _ in range(2):
        home.registry.register_files("m", "s3://x", actor=ME)
    home.registry.set_alias("m", "champion", 1, actor=ME, reason="first")
    home.registry.set_alias("m", "champion", 2, actor=OTHER, reason="better")
    home.catalogue.set_stage("m", 2, "production", actor=OTHER, reason="approved")
    home.catalogue.set_tag("m", "k", "v", actor=ME)
    home.registry.remove_alias("m", "champion", actor=ME, reason="withdrawn")
    home.catalogue.delete_version("m", 1, actor=ME)
    assert _told(home, "m") == [
        ("version", "", 1, "", "registered", ME, ""),
        ("version", "", 2, "", "registered", ME, ""),
        ("alias", "champion", 1, "", "1", ME, "first"),
        ("alias", "champion", 2, "1", "2", OTHER, "better"),
        ("stage", "", 2, "None", "Production", OTHER, "approved"),
        ("alias", "champion", None, "2", "", ME, "withdrawn"),
        ("version", "", 1, "", "deleted", ME, ""),
    ]


def test_deployments_and_rollouts_are_told(home: Home) -> None:
    home.catalogue.create("m", actor=ME)
    endpoint = Ref("endpoint", "e")
    for event in (
        Deployed(endpoint="e", model="m", version=1, previous=None, reason="first"),
        # As it was written before rollouts named their model.
        RolloutMoved(
            rollout="r", endpoint="e", version=2, status="running", percent=5, reason="try"
        ),
        RolloutMoved(
            rollout="r",
            endpoint="e",
            version=2,
            status="failed",
            percent=0,
            reason="bad",
            model="m",
        ),
    ):
        home.journal.record(event, subject=endpoint, actor="loop")
    assert _told(home, "m") == [
        ("deployment", "e", 1, "", "1", "loop", "first"),
        ("rollout", "e", 2, "", "running at 5%", "loop", "try"),
        ("rollout", "e", 2, "", "failed at 0%", "loop", "bad"),
    ]


def test_a_name_that_was_given_again_tells_of_its_own_model_only(home: Home) -> None:
    home.catalogue.create("a", actor=ME)
    home.registry.register_files("a", "s3://x", actor=ME)
    home.catalogue.rename("a", "b", actor=ME)
    home.catalogue.create("a", actor=ME)
    home.registry.register_files("a", "s3://y", actor=OTHER)
    assert _told(home, "b") == [
        ("version", "", 1, "", "registered", ME, ""),
        ("name", "", None, "a", "b", ME, ""),
    ]
    assert [row[5] for row in _told(home, "a")] == [OTHER]
    home.catalogue.delete("a", actor=ME)
    with pytest.raises(ModelNotFound):
        home.chronicle.of("a")
    home.catalogue.create("a", actor=ME)
    assert _told(home, "a") == []
