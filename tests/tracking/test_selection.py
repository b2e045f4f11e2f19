"""Beginning at a rare value finds the same runs as passing them all."""

from __future__ import annotations

import pytest

from tidemill.storage.db.engine import Database
from tidemill.tracking import selection, store
from tidemill.tracking.records import Param
from tidemill.tracking.service import Tracking

ON_BOTH_DATABASES = True
LONG = "x" * 150


@pytest.fixture
def filled(tracking: Tracking) -> Tracking:
    for name in ("mine", "other"):
        experiment = tracking.experiment(name).id
        for number in range(12):
            tags = {"team": "sea" if number % 2 else "land"}
            run = tracking.start_run(experiment, actor="user:me", name=str(number), tags=tags)
            params = [Param("depth", str(number % 5)), Param("long", LONG + str(number % 3))]
            tracking.log(run.id, params=params)
    return tracking


EXPECTED = {
    "params.depth = '2'": ["7", "2"],
    "params.depth = '2' AND tags.team = 'sea'": ["7"],
    "params.depth = '2' OR tags.team = 'sea'": ["11", "9", "7", "5", "3", "2", "1"],
    "NOT params.depth = '2' AND tags.team = 'land'": ["10", "8", "6", "4", "0"],
    f"params.long = '{LONG}1'": ["10", "7", "4", "1"],
    "params.depth = '9'": [],
    "params.depth = '2' AND attributes.run_name = '7'": ["7"],
}


@pytest.mark.parametrize(("rare", "scarce"), [(0, 0), (0, 3), (0, 12), (3, 12), (12, 12)])
def test_whatever_is_rare(
    filled: Tracking, monkeypatch: pytest.MonkeyPatch, rare: int, scarce: int
) -> None:
    monkeypatch.setattr(selection, "RARE", rare)
    monkeypatch.setattr(selection, "SCARCE", scarce)
    mine = filled.experiment("mine").id
    found = {
        filter: sorted((run.name for run in filled.search([mine], filter).items), key=int)[::-1]
        for filter in EXPECTED
    }
    assert found == EXPECTED


def test_the_ids_of_a_scarce_value_are_gathered_and_the_rows_of_others_not_read(
    filled: Tracking, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(selection, "RARE", 3)
    with db.read() as connection:
        chosen = selection.selection_of(connection, "params.depth = '2' AND tags.team = 'sea'")
        rare = selection.selection_of(connection, "params.depth = '9' AND tags.team = 'sea'")
    assert chosen.source is store.runs
    assert len(chosen.where) == (2 if db.dialect == "sqlite" else 0)
    assert rare.source is not store.runs
