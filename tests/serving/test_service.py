"""Deployments: every change is written down, shown to the workers, and can be undone."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine, text

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.core.policy import RolloutPolicy, ServingPolicy
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.serving import store
from tidemill.serving.errors import (
    BadEndpoint,
    BadSplit,
    EndpointNotFound,
    NothingToRollBack,
    RolloutEnded,
    RolloutNotFound,
    ServingError,
)
from tidemill.serving.events import WorkerOutgrown
from tidemill.serving.evidence import Verdict
from tidemill.serving.memory import Outgrown
from tidemill.serving.outgrown import noting
from tidemill.serving.plans import Plans
from tidemill.serving.records import Share, Target
from tidemill.serving.routes import (
    EndpointRoutes,
    RouteTable,
    RouteTarget,
    read_routes,
    write_routes,
)
from tidemill.serving.service import Deployments
from tidemill.storage.db.engine import Database
from tidemill.storage.db.migration import VERSIONS

ONE, TWO, THREE = (Target(model="m", version=v, bundle=f"b{v}") for v in (1, 2, 3))
BY = {"actor": "user:ann", "reason": "because"}
ON = Verdict(action="advance", reason="healthy")


@pytest.fixture
def unpacked() -> list[str]:
    return []


@pytest.fixture
def open_again(
    tmp_path: Path,
    db: Database,
    journal: Journal,
    lineage: Lineage,
    clock: SimulatedClock,
    ids: Ids,
    unpacked: list[str],
) -> Callable[[], Deployments]:
    def prepare(model: str, bundle: str) -> None:
        unpacked.append(bundle)

    return lambda: Deployments(
        db=db,
        journal=journal,
        lineage=lineage,
        clock=clock,
        ids=ids,
        routes=tmp_path / "serving" / "routes.json",
        prepare=prepare,
        policies=lambda: {"e": ServingPolicy(redact=("name",))},
    )


@pytest.fixture
def deployments(open_again: Callable[[], Deployments]) -> Deployments:
    return open_again()


def targets(tmp_path: Path, endpoint: str = "e") -> dict[int, tuple[str, float]]:
    found = read_routes(tmp_path / "serving" / "routes.json").endpoints[endpoint].targets
    return {t.version: (t.role, t.weight) for t in found}


def test_deploying_shows_in_routes_journal_and_lineage(
    deployments: Deployments, tmp_path: Path, journal: Journal, lineage: Lineage
) -> None:
    deployments.deploy("e", ONE, **BY)
    assert targets(tmp_path) == {1: ("champion", 0.0)}
    assert read_routes(tmp_path / "serving" / "routes.json").endpoints["e"].redact == ("name",)
    (fact,) = journal.read(types=["endpoint.deployed"])
    assert (fact.actor, fact.subject) == ("user:ann", "endpoint:e")
    assert lineage.upstream(Ref("endpoint", "e"))[0].source == "model:m@1"
    deployments.deploy("e", ONE, **BY)
    assert len(journal.read(types=["endpoint.deployed"])) == 1


def test_bundles_are_unpacked_before_a_route_names_them(
    deployments: Deployments, unpacked: list[str], tmp_path: Path
) -> None:
    deployments.deploy("e", ONE, **BY)
    deployments.deploy("e", TWO, **BY)
    assert unpacked[0] == "b1"
    assert targets(tmp_path) == {2: ("champion", 0.0), 1: ("standby", 0.0)}


def test_a_rollout_goes_step_by_step_to_all_of_the_traffic(
    deployments: Deployments, tmp_path: Path
) -> None:
    deployments.deploy("e", ONE, **BY)
    rollout = deployments.start_rollout("e", TWO, RolloutPolicy(), **BY)
    assert rollout is not None
    assert targets(tmp_path) == {1: ("champion", 0.0), 2: ("canary", 5.0)}
    assert deployments.start_rollout("e", TWO, RolloutPolicy(), **BY) == rollout
    deployments.advance(rollout.id, ON, actor="loop")
    assert targets(tmp_path)[2] == ("canary", 25.0)
    assert deployments.advance(rollout.id, ON, actor="loop").status == "promoted"
    assert targets(tmp_path) == {2: ("champion", 0.0), 1: ("standby", 0.0)}
    with pytest.raises(RolloutEnded, match="promoted"):
        deployments.advance(rollout.id, ON, actor="loop")


def test_rollback_ends_the_rollout_first_and_then_goes_back(
    deployments: Deployments, tmp_path: Path
) -> None:
    deployments.deploy("e", ONE, **BY)
    with pytest.raises(NothingToRollBack, match="only model:m@1"):
        deployments.rollback("e", **BY)
    deployments.deploy("e", TWO, **BY)
    deployments.start_rollout("e", THREE, RolloutPolicy(), **BY)
    plans = Plans(deployments, SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC)))
    assert "model:m@3 loses its 5%" in plans.rollback("e").sentence
    deployments.rollback("e", **BY)
    assert targets(tmp_path)[2] == ("champion", 0.0)
    assert plans.rollback("e").sentence.startswith("model:m@1 answers everything")
    deployments.rollback("e", **BY)
    assert targets(tmp_path) == {1: ("champion", 0.0)}
    with pytest.raises(NothingToRollBack):
        deployments.rollback("e", **BY)


def test_rollbacks_go_back_one_version_after_the_other_and_never_to_one_that_was_left(
    deployments: Deployments, tmp_path: Path
) -> None:
    for each in (ONE, TWO, THREE):
        deployments.deploy("e", each, **BY)
    deployments.rollback("e", **BY)
    assert deployments.get("e").champion == TWO
    deployments.rollback("e", **BY)
    assert deployments.get("e").champion == ONE
    assert deployments.get("e").history == ()


def test_as_many_versions_stay_warm_as_the_policy_or_a_person_says(
    deployments: Deployments, tmp_path: Path, journal: Journal
) -> None:
    for each in (ONE, TWO, THREE):
        deployments.deploy("e", each, **BY)
    assert targets(tmp_path) == {3: ("champion", 0.0), 2: ("standby", 0.0)}
    deployments.keep("e", 2, **BY)
    assert targets(tmp_path)[1] == ("standby", 0.0)
    deployments.keep("e", 0, **BY)
    assert targets(tmp_path) == {3: ("champion", 0.0)}
    assert deployments.get("e").previous == TWO
    assert len(journal.read(types=["endpoint.traffic"])) == 2


def test_a_split_gives_each_version_its_share_and_a_rollback_ends_it(
    deployments: Deployments, tmp_path: Path, journal: Journal
) -> None:
    deployments.deploy("e", ONE, **BY)
    shares = [Share(target=t, percent=p) for t, p in ((ONE, 50.0), (TWO, 30.0), (THREE, 20.0))]
    deployments.split("e", shares, **BY)
    assert targets(tmp_path) == {
        1: ("champion", 0.0),
        2: ("canary", 30.0),
        3: ("canary", 20.0),
    }
    (fact,) = journal.read(types=["endpoint.traffic"])
    assert [p["percent"] for p in fact.fields()["parts"]] == [50.0, 30.0, 20.0]
    deployments.rollback("e", **BY)
    assert targets(tmp_path)[1] == ("champion", 0.0)
    assert deployments.get("e").split == ()
    assert deployments.get("e").champion == ONE


def test_a_split_without_the_live_version_makes_the_largest_part_the_champion(
    deployments: Deployments, tmp_path: Path
) -> None:
    deployments.deploy("e", ONE, **BY)
    deployments.split("e", [Share(target=TWO, percent=40), Share(target=THREE, percent=60)], **BY)
    live = deployments.get("e")
    assert (live.champion, live.previous, live.champion_percent) == (THREE, ONE, 60.0)
    deployments.split("e", [Share(target=TWO, percent=40)], **BY)
    assert (deployments.get("e").champion, deployments.get("e").champion_percent) == (THREE, 60.0)
    for bad in ([(TWO, 50.0), (THREE, 60.0)], [(THREE, 50.0), (TWO, 40.0)], [(TWO, 0.0)]):
        with pytest.raises(BadSplit):
            deployments.split("e", [Share(target=t, percent=p) for t, p in bad], **BY)


def test_a_shadow_stays_through_changes_until_it_answers_itself(
    deployments: Deployments, tmp_path: Path
) -> None:
    deployments.deploy("e", ONE, **BY)
    deployments.mirror("e", THREE, **BY)
    deployments.deploy("e", TWO, **BY)
    assert targets(tmp_path)[3] == ("shadow", 0.0)
    with pytest.raises(BadEndpoint, match="answers at 'e' already"):
        deployments.mirror("e", TWO, **BY)
    deployments.mirror("e", THREE, on=False, **BY)
    assert 3 not in targets(tmp_path)
    with pytest.raises(BadEndpoint, match="is no shadow"):
        deployments.mirror("e", THREE, on=False, **BY)
    deployments.mirror("e", THREE, **BY)
    deployments.start_rollout("e", THREE, RolloutPolicy(), **BY)
    assert targets(tmp_path)[3] == ("canary", 5.0)
    assert deployments.get("e").shadows == ()


def test_plans_say_what_changes_and_change_nothing(
    deployments: Deployments, tmp_path: Path, clock: SimulatedClock
) -> None:
    deployments.deploy("e", ONE, **BY)
    before = deployments.get("e")
    plans = Plans(deployments, clock)
    made = [
        plans.deploy("e", TWO),
        plans.deploy("new", TWO),
        plans.rollout("e", TWO, RolloutPolicy()),
        plans.split("e", [Share(target=TWO, percent=10)]),
        plans.mirror("e", TWO),
        plans.keep("e", 3),
    ]
    assert [p.after[0].version for p in made] == [2, 2, 1, 1, 1, 1]
    assert made[0].sentence == "model:m@2 answers everything at e, not model:m@1."
    assert [(p.version, p.role, p.percent) for p in made[3].after] == [
        (1, "champion", 90.0),
        (2, "split", 10.0),
    ]
    assert deployments.get("e") == before
    assert deployments.find("new") is None


def test_a_rollback_by_hand_is_not_undone_by_a_step_that_was_decided_before(
    deployments: Deployments,
) -> None:
    deployments.deploy("e", ONE, **BY)
    rollout = deployments.start_rollout("e", TWO, RolloutPolicy(), **BY)
    assert rollout is not None
    deployments.rollback("e", **BY)
    with pytest.raises(RolloutEnded):
        deployments.advance(rollout.id, ON, actor="loop")
    assert deployments.get("e").canary is None


def test_an_endpoint_that_cannot_stand_in_a_url_is_refused_before_anything_changes(
    deployments: Deployments,
) -> None:
    with pytest.raises(BadEndpoint, match="cannot be the name"):
        deployments.deploy("a/b", ONE, **BY)
    assert deployments.endpoints() == []


def test_another_candidate_takes_the_place_of_one_that_is_tried(
    deployments: Deployments, tmp_path: Path
) -> None:
    deployments.deploy("e", ONE, **BY)
    first = deployments.start_rollout("e", TWO, RolloutPolicy(), **BY)
    assert first is not None
    deployments.start_rollout("e", THREE, RolloutPolicy(), **BY)
    assert deployments.rollout(first.id).status == "superseded"
    assert targets(tmp_path) == {1: ("champion", 0.0), 3: ("canary", 5.0)}


def test_another_model_with_the_same_number_is_deployed_all_at_once_only(
    deployments: Deployments, tmp_path: Path
) -> None:
    other = Target(model="n", version=1, bundle="c1")
    deployments.deploy("e", ONE, **BY)
    with pytest.raises(BadEndpoint, match="same number"):
        deployments.start_rollout("e", other, RolloutPolicy(), **BY)
    deployments.deploy("e", other, **BY)
    assert targets(tmp_path) == {1: ("champion", 0.0)}
    deployments.rollback("e", **BY)
    assert deployments.get("e").champion == ONE


def test_a_lost_route_table_is_written_again_from_the_tables(
    deployments: Deployments, open_again: Callable[[], Deployments], tmp_path: Path
) -> None:
    deployments.deploy("e", ONE, **BY)
    before = read_routes(tmp_path / "serving" / "routes.json")
    (tmp_path / "serving" / "routes.json").unlink()
    open_again().write_routes()
    assert read_routes(tmp_path / "serving" / "routes.json") == before


def test_names_that_are_not_there_are_answered_with_those_that_are(
    deployments: Deployments,
) -> None:
    deployments.deploy("flights", ONE, **BY)
    with pytest.raises(EndpointNotFound, match="'flights'"):
        deployments.get("flight")
    with pytest.raises(RolloutNotFound):
        deployments.rollout("nothing")


@pytest.mark.parametrize("text", ["", "{", '{"endpoints": 3}', '{"endpoints": {"a/b": {}}}'])
def test_a_damaged_route_table_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "routes.json"
    path.write_text(text)
    with pytest.raises(ServingError):
        read_routes(path)


def test_a_table_that_cannot_be_served_is_not_written(tmp_path: Path) -> None:
    def route(*versions: int, **options: object) -> RouteTable:
        found = tuple(
            RouteTarget(model="m", version=v, bundle="b", **options)  # type: ignore[arg-type]
            for v in versions
        )
        return RouteTable(endpoints={"e": EndpointRoutes(targets=found)})

    for bad in (route(1, 2), route(), route(1, role="canary"), route(1, 1)):
        with pytest.raises(BadEndpoint):
            write_routes(tmp_path / "routes.json", bad)
    assert not (tmp_path / "routes.json").exists()


def test_an_endpoint_of_an_older_home_keeps_what_answered_before(tmp_path: Path) -> None:
    """Homes of before kept one version back, under another name."""
    engine = create_engine(f"sqlite:///{tmp_path}/old.db")
    script = _script()
    old, new = (script.get_revision(f"serving_000{n}").module for n in (1, 2))
    target = {"model": "m", "version": 1, "bundle": "b1"}
    stored = {
        "endpoint": "e",
        "champion": target | {"version": 2, "bundle": "b2"},
        "previous": target,
        "changed": "2013-02-01T00:00:00Z",
    }
    with engine.begin() as connection, Operations.context(MigrationContext.configure(connection)):
        old.upgrade()
        connection.execute(
            text("INSERT INTO serving_deployments VALUES ('e', 1, :record)"),
            {"record": json.dumps(stored)},
        )
        new.upgrade()
        live = store.read_deployment(connection, "e")
    engine.dispose()
    assert live is not None
    assert (live.champion, live.previous) == (TWO, ONE)


def _script() -> ScriptDirectory:
    config = Config()
    config.set_main_option("script_location", str(VERSIONS.parent))
    config.set_main_option("version_locations", str(VERSIONS))
    config.set_main_option("path_separator", "os")
    return ScriptDirectory.from_config(config)


def test_a_worker_that_took_too_much_is_a_fact_of_every_endpoint(
    deployments: Deployments, journal: Journal
) -> None:
    for endpoint in ("e", "f"):
        deployments.deploy(endpoint, ONE, **BY)
    note = noting(deployments, journal)
    note(Outgrown(number=1, pid=42, memory_mb=312.3456, limit_mb=300.0, needed_mb=90.04))
    facts = journal.read(types=["worker.outgrown"])
    assert [str(fact.subject) for fact in facts] == ["endpoint:e", "endpoint:f"]
    said = facts[0].read(WorkerOutgrown)
    assert (said.number, said.memory_mb, said.limit_mb, said.needed_mb) == (1, 312.3, 300.0, 90.0)
