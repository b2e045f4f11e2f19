"""The home that the first state saved opens as if it had been made today: nothing of it is lost."""

from __future__ import annotations

import math
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tidemill.cli.entry import run
from tidemill.core.errors import Conflict
from tidemill.core.references import Ref
from tidemill.home import Home
from tidemill.predictions.finding import latest_predictions
from tidemill.tracking.records import Metric

SAVED = Path(__file__).with_name("first.tar.gz")
MODEL = Ref("model", "model", "1")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    with tarfile.open(SAVED) as archive:
        archive.extractall(tmp_path, filter="data")
    return tmp_path / "first"


@pytest.fixture
def home(project: Path) -> Iterator[Home]:
    with Home.open(project / ".tidemill", project=project, create=False) as opened:
        yield opened


def _facts(project: Path) -> list[tuple[int, str, str]]:
    with closing(sqlite3.connect(project / ".tidemill" / "tidemill.db")) as raw:
        query = "SELECT position, type, data FROM journal_facts ORDER BY position"
        return raw.execute(query).fetchall()


def test_what_was_tracked_is_there(home: Home) -> None:
    tracking = home.tracking
    (first,) = tracking.search(filter="tags.team = 'sea'").items
    assert (first.name, first.status, first.actor) == ("first", "FINISHED", "user:me")
    assert first.params == {"lr": "0.1", "text": "ümlaut 'quoted'"}
    values = [m.value for m in tracking.history(first.id, "m")]
    assert repr(values) == repr([0.1, math.nan, math.inf, -math.inf, 0.0, 5e-324, 1e308])
    assert tracking.history(first.id, "big") == [Metric("big", 1.5, 2**53 + 1, 2**40)]
    with tracking.open_artifact(first.id, "plots/a b.txt") as file:
        assert file.read() == b"bytes"
    links = tracking.links([first.id])[first.id]
    assert [d.name for d in links.datasets] == ["d"]
    (net,) = home.logged_models.search([first.experiment_id], "params.C = '1'").items
    assert (net.name, net.status, net.metrics[0].point.value) == ("net", "READY", 0.8)
    assert {r.name for r in tracking.search(view="deleted").items} == {"gone", "with it"}
    assert all(r.deleted is not None for r in tracking.search(view="deleted").items)
    lost = tracking.find_experiment("lost")
    assert lost is not None
    assert tracking.restore_experiment(lost.id, actor="user:me").lifecycle == "active"


def test_what_was_made_and_served_is_there(home: Home) -> None:
    version = home.registry.version(MODEL)
    assert set(version.aliases) == {"champion", "stable"}
    assert version.metrics["roc_auc"] is not None
    told = [(c.what, c.name, c.reason) for c in home.chronicle.of("model")]
    assert ("alias", "stable", "it was the first") in told
    assert {"version", "alias", "deployment"} <= {what for what, _, _ in told}
    assert home.deployments.get("model").champion.ref == version.ref
    (dataset,) = home.datasets.versions("rows")
    assert home.datasets.scan(dataset).collect().height == dataset.rows == 600
    (made,) = home.pipelines.runs()
    assert [step.status for step in made.steps].count("finished") == len(made.steps)
    assert "roc_auc" in home.tracking.get(made.id).metrics or home.tracking.get(made.id).params


def test_what_was_predicted_is_traced_and_watched(home: Home) -> None:
    prediction = latest_predictions(home.predictions_folder, "model")[0]
    kinds = [link.what for link in home.tracer.trace(prediction).links]
    assert {"prediction", "deployment", "model version", "run"} <= set(kinds), kinds
    # 19 of the 40 were taken in before the home was saved.
    assert [home.monitor.observe("model") for _ in range(2)] == [21, 0]


def test_every_fact_stays_and_more_are_added(project: Path) -> None:
    before = _facts(project)
    for _ in range(2):
        with Home.open(project / ".tidemill", project=project) as home:
            experiment = home.tracking.experiment("new").id
            run = home.tracking.start_run(experiment, actor="user:me")
            home.tracking.log(run.id, metrics=[Metric("m", 1.0, 1)])
            home.catalogue.set_stage("model", 1, "Production", actor="user:me")
    after = _facts(project)
    assert after[: len(before)] == before
    assert len(after) == len(before) + 4


def test_it_is_sound_and_moves(project: Path, tmp_path: Path) -> None:
    there = ["--home", str(project / ".tidemill")]
    assert run(["doctor", "--scrub", *there]) == 0
    assert run(["export", str(tmp_path / "export"), *there]) == 0
    Home.open(tmp_path / "new").close()
    assert run(["import", str(tmp_path / "export"), "--home", str(tmp_path / "new")]) == 0
    with Home.open(tmp_path / "new") as new:
        assert new.registry.version(MODEL).aliases


def test_one_that_is_newer_still_is_refused(project: Path) -> None:
    Home.open(project / ".tidemill", project=project).close()
    with closing(sqlite3.connect(project / ".tidemill" / "tidemill.db")) as raw:
        newer = "UPDATE alembic_version SET version_num = 'tracking_9999' WHERE version_num LIKE ?"
        raw.execute(newer, ("tracking_%",))
        raw.commit()
    with pytest.raises(Conflict, match="tracking_9999"):
        Home.open(project / ".tidemill", project=project)
