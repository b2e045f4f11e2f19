"""Deployments: every change is written down, shown to the workers, and can be undone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.core.policy import RolloutPolicy, ServingPolicy
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.serving.errors import (
    BadEndpoint,
    EndpointNotFound,
    NothingToRollBack,
    RolloutEnded,
    RolloutNotFound,
    ServingError,
)
from tidemill.serving.records import Target, Verdict
from tidemill.serving.routes import (
    EndpointRoutes,
    RouteTable,
    RouteTarget,
    read_routes,
    write_routes,
)
from tidemill.serving.service import Deployments
from tidemill.storage.db.engine import Database

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
    def unpack(bundle: str) -> Path:
        unpacked.append(bundle)
        return tmp_path / bundle

    return lambda: Deployments(
        db=db,
        journal=journal,
        lineage=lineage,
        clock=clock,
        ids=ids,
        routes=tmp_path / "serving" / "routes.json",
        unpack=unpack,
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
    assert "model:m@3 loses its 5%" in deployments.preview_rollback("e")
    deployments.rollback("e", **BY)
    assert targets(tmp_path)[2] == ("champion", 0.0)
    assert deployments.preview_rollback("e").startswith("model:m@1 answers everything")
    deployments.rollback("e", **BY)
    assert targets(tmp_path)[1] == ("champion", 0.0)


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
