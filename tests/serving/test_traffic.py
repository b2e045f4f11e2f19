"""Rollout steps, splits, shadows and rollbacks on real workers under load: no request is lost."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.serving.conftest import tensors
from tests.serving.test_worker import INFER, Load, finish, load

from tidemill.core.clock import SystemClock
from tidemill.core.ids import Ids
from tidemill.core.policy import RolloutPolicy, ServingPolicy
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.predictions.reader import read_predictions
from tidemill.predictions.units import pairs_of
from tidemill.serving.counters import Counter, ask_workers
from tidemill.serving.evidence import Verdict
from tidemill.serving.records import Share, Target
from tidemill.serving.routes import EndpointRoutes, RouteTarget, choose
from tidemill.serving.service import Deployments
from tidemill.serving.supervisor import Supervisor
from tidemill.storage.db.engine import Database

BUNDLES = ("one", "two", "one", "two")
assert load  # a fixture
V1, V2, V3, V4 = (
    Target(model="m", version=n + 1, bundle=bundle) for n, bundle in enumerate(BUNDLES)
)
BODY = {"inputs": tensors(a=[0.5], b=[1.0], c=[3])}
BY = {"actor": "user:ann", "reason": "because"}
ON = Verdict(action="advance", reason="healthy")
GENEROUS = 20.0


class Plant:
    """An endpoint `e` with two workers behind it."""

    def __init__(self, folder: Path, bundles: Path, db: Database) -> None:
        clock = SystemClock()
        ids = Ids(clock)
        self.predictions = folder / "predictions"
        routes = folder / "routes.json"
        self.deployments = Deployments(
            db=db,
            journal=Journal(db, clock, ids),
            lineage=Lineage(db, clock),
            clock=clock,
            ids=ids,
            routes=routes,
            prepare=lambda model, bundle: None,
            policies=lambda: {"e": ServingPolicy(keep=2)},
        )
        self.deployments.deploy("e", V1, **BY)
        self.supervisor = Supervisor(
            routes=routes,
            bundles=bundles,
            predictions=self.predictions,
            peers=folder / "peers",
            log=folder / "workers.log",
            workers=2,
        )
        self.supervisor.start()
        self.http = httpx.Client(base_url=self.supervisor.url, timeout=GENEROUS)
        self.taken()

    def taken(self) -> None:
        """Return when every worker serves what was said last."""
        self.supervisor.wait(self.deployments.generation(), timeout=GENEROUS)

    def version(self, **headers: str) -> str:
        answer = self.http.post(INFER, json=BODY, headers=headers)
        assert answer.status_code == 200, answer.text
        found: str = answer.json()["model_version"]
        return found


@pytest.fixture
def plant(tmp_path: Path, bundles: Path, db: Database) -> Iterator[Plant]:
    made = Plant(tmp_path, bundles, db)
    yield made
    made.http.close()
    made.supervisor.stop()


def test_a_whole_rollout_and_its_rollback_under_load_fail_no_request(
    plant: Plant, load: Callable[[str], list[Load]]
) -> None:
    running = load(plant.supervisor.url)
    deployments = plant.deployments
    stretches: list[tuple[set[str], float, float]] = []

    def after(versions: set[str]) -> None:
        plant.taken()
        since = time.monotonic()
        time.sleep(0.25)
        stretches.append((versions, since, time.monotonic()))

    policy = RolloutPolicy(steps=(30.0, 60.0, 100.0))
    rollout = deployments.start_rollout("e", V2, policy, **BY)
    assert rollout is not None
    after({"1", "2"})
    deployments.advance(rollout.id, ON, actor="loop")
    after({"1", "2"})
    deployments.advance(rollout.id, ON, actor="loop")
    after({"2"})
    deployments.deploy("e", V3, **BY)
    after({"3"})
    deployments.rollback("e", **BY)
    after({"2"})
    deployments.rollback("e", **BY)
    after({"1"})
    answers = finish(running)
    assert {status for _, status, _ in answers} == {200}
    assert not any(each.repeated for each in running)
    for versions, since, until in stretches:
        # What was asked before a change may be answered right after it.
        seen = {v for at, _, v in answers if since + 0.05 < at < until}
        assert seen <= versions, (versions, seen)
    assert {v for _, _, v in answers} == {"1", "2", "3"}


def test_many_changes_at_once_leave_the_newest_in_the_route_table(plant: Plant) -> None:
    """Two threads change an endpoint, as a person and the loop may: the last word holds."""
    threads = [
        threading.Thread(target=plant.deployments.deploy, args=("e", t), kwargs=BY)
        for t in (V2, V3, V4, V2, V3, V4)
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    plant.taken()
    live = plant.deployments.get("e").champion.version
    assert {plant.version() for _ in range(10)} == {str(live)}


def test_a_split_is_sticky_and_testers_reach_what_is_routed_or_warm(plant: Plant) -> None:
    plant.deployments.deploy("e", V2, **BY)
    shares = [Share(target=t, percent=p) for t, p in ((V2, 40.0), (V3, 30.0), (V4, 30.0))]
    plant.deployments.split("e", shares, **BY)
    plant.taken()
    keys = [f"customer-{number}" for number in range(60)]
    chosen = {key: plant.version(**{"Tidemill-Key": key}) for key in keys}
    assert set(chosen.values()) == {"2", "3", "4"}
    assert all(plant.version(**{"Tidemill-Key": k}) == v for k, v in list(chosen.items())[:20])
    assert plant.version(**{"Tidemill-Version": "1"}) == "1"
    unknown = httpx.post(plant.supervisor.url + INFER, json=BODY, headers={"Tidemill-Version": "9"})
    assert unknown.status_code == 404
    assert "serves no version '9'" in unknown.text


def test_a_shadows_answers_are_paired_with_those_that_were_given(plant: Plant) -> None:
    plant.deployments.mirror("e", V2, **BY)
    plant.taken()
    rows = {"a": [0.1, 0.2, 0.3], "b": [1.0, 2.0, 3.0], "c": [1, 2, 3]}
    for key in (None, None, "ann"):
        headers = {} if key is None else {"Tidemill-Key": key}
        body = {"inputs": tensors(**rows)}
        assert plant.http.post(INFER, json=body, headers=headers).is_success
    assert plant.http.post("/-/flush").status_code == 200
    frame, _ = read_predictions(plant.predictions, "e")
    assert frame["id"].n_unique() == 18
    sides = {
        role: dict(zip(pairs_of(part["id"]), part["feature.a"], strict=True))
        for (role,), part in frame.partition_by("role", as_dict=True).items()
    }
    assert sides["champion"] == sides["shadow"]
    assert len(sides["champion"]) == 9


def test_workers_count_what_they_answered_by_version_and_role(plant: Plant) -> None:
    plant.deployments.start_rollout("e", V2, RolloutPolicy(steps=(50.0, 100.0)), **BY)
    plant.taken()
    for _ in range(40):
        plant.version()
    found = ask_workers(plant.supervisor.url)
    candidate, champion = found[Counter("e", 2, "canary")], found[Counter("e", 1, "champion")]
    assert candidate.requests + champion.requests == 40
    assert candidate.requests == sum(candidate.latencies) > 0
    assert ask_workers("http://127.0.0.1:9") == {}


@given(
    st.lists(st.floats(1, 30), min_size=1, max_size=3),
    st.integers(0, 2),
    st.floats(0.5, 10),
    st.integers(0, 1000),
)
@settings(deadline=None)
def test_keys_only_go_to_a_version_whose_share_grows(
    weights: list[float], which: int, more: float, seed: int
) -> None:
    def routes(weights: list[float]) -> EndpointRoutes:
        others = [
            RouteTarget(model="m", version=n + 2, bundle="b", role="canary", weight=w)
            for n, w in enumerate(weights)
        ]
        return EndpointRoutes(targets=(RouteTarget(model="m", version=1, bundle="b"), *others))

    which %= len(weights)
    grown = [w + more * (n == which) for n, w in enumerate(weights)]
    rng = random.Random(seed)
    for key in (str(rng.random()) for _ in range(20)):
        before, after = (choose(routes(w), "e", key).version for w in (weights, grown))
        # The champion's share shrinks by as much.
        assert before == after or before == 1 or after == which + 2


def test_shares_are_what_was_asked_for() -> None:
    others = [
        RouteTarget(model="m", version=v, bundle="b", role="canary", weight=w)
        for v, w in ((2, 30.0), (3, 15.0), (4, 5.0))
    ]
    routes = EndpointRoutes(targets=(RouteTarget(model="m", version=1, bundle="b"), *others))
    counts = dict.fromkeys((1, 2, 3, 4), 0)
    for key in range(20_000):
        counts[choose(routes, "e", str(key)).version] += 1
    shares = {version: count / 200 for version, count in counts.items()}
    assert shares == pytest.approx({1: 50, 2: 30, 3: 15, 4: 5}, abs=1.2)
