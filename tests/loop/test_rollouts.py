"""Candidates in real traffic: the broken ones are gone at once, and whoever asks sees why."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.control_plane import running
from tests.serving.conftest import tensors

from tidemill.core.events import Fact
from tidemill.home import Home
from tidemill.server.operations import Operations
from tidemill.serving.counters import ask_workers
from tidemill.serving.supervisor import Supervisor

from .conftest import Register

DEADLINE = 30.0


def wait(condition: Callable[[], Any], what: str) -> Any:
    end = time.monotonic() + DEADLINE
    while not (found := condition()):
        assert time.monotonic() < end, what
        time.sleep(0.05)
    return found


class Served:
    """A home with workers, and a client."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self.operations = Operations(home)
        home.deployments.write_routes()
        self.supervisor: Supervisor = home.supervisor()
        self.supervisor.start()
        self.http = httpx.Client(base_url=self.supervisor.url, timeout=20)
        self.rng = random.Random(0)

    def taken(self) -> None:
        self.supervisor.wait(self.home.deployments.generation())

    def ask(self, count: int, *, b: float = 3.0, rows: int = 1) -> list[dict[str, Any]]:
        answers = []
        for _ in range(count):
            a = [self.rng.gauss(0, 1) for _ in range(rows)]
            body = {"inputs": tensors(a=a, b=[b] * rows)}
            answer = self.http.post("/v2/models/m/infer", json=body)
            assert answer.status_code == 200, answer.text
            ids = answer.json()["parameters"]["prediction_ids"]
            answers.append({"a": a, "ids": ids.split(",") if isinstance(ids, str) else ids})
        return answers

    def guard(self) -> list[str]:
        decisions = self.home.controller.guard(ask_workers(self.supervisor.url), {})
        return [d.kind for d in decisions]

    def flush(self) -> None:
        assert self.http.post("/-/flush").status_code == 200


@pytest.fixture
def served(home: Home, register: Register) -> Iterator[Served]:
    register(home, "good")
    operations = Operations(home)
    operations.deploy("model:m@1")
    made = Served(home)
    made.taken()
    yield made
    made.http.close()
    made.supervisor.stop()


def facts(home: Home, *types: str) -> list[Fact]:
    return home.journal.read(types=types, limit=1000)


def test_a_candidate_that_fails_is_rolled_back_on_the_workers_word_and_nobody_notices(
    served: Served, register: Register
) -> None:
    register(served.home, "failing")
    served.operations.deploy("model:m@2", percent=30)
    served.taken()
    assert served.guard() == []
    served.ask(60)
    assert served.guard() == []
    served.ask(60, b=500.0)
    assert served.guard() == ["rollback"]
    served.taken()
    live = served.home.deployments.get("m")
    assert (live.champion.version, live.canary) == (1, None)
    (judged,) = facts(served.home, "rollout.judged")
    assert judged.fields()["code"] == "errors"
    assert judged.fields()["numbers"]["champion_error_rate"] == 0
    (decided,) = facts(served.home, "loop.decided")
    assert "requests failed" in decided.fields()["decision"]["reason"]
    assert facts(served.home, "rollout.moved")[-1].fields()["status"] == "rolled-back"
    assert served.guard() == []
    rollout = served.home.deployments.rollouts("m")[0]
    assert [look.action for look in served.home.looks.of(rollout.id)] == ["rollback"]


def test_up_rolls_back_a_failing_candidate_by_itself(tmp_path: Path, register: Register) -> None:
    with Home.open(tmp_path / "home") as home:
        for kind in ("good", "failing"):
            register(home, kind)
        operations = Operations(home)
        operations.deploy("model:m@1")
        operations.deploy("model:m@2", percent=40)
    asked = {"dataframe_records": [{"a": 0.1, "b": 500.0}]}
    with running(tmp_path / "home") as server, httpx.Client(timeout=20) as http:

        def gone() -> bool:
            answer = http.post(f"{server.serving}/invocations/m", json=asked)
            assert answer.status_code == 200
            found = http.get(f"{server.address}/api/rollouts").json()
            return bool(found[0]["status"] == "rolled-back")

        wait(gone, "the failing candidate was not rolled back")
        assert http.get(f"{server.address}/api/decisions").json()[0]["kind"] == "rollback"


def test_a_candidate_that_no_worker_can_load_is_rolled_back(
    served: Served, register: Register
) -> None:
    version = register(served.home, "contrary")
    folder = served.home.shelf.unpack(version.packed)
    (folder / "model.onnx").chmod(0o600)
    size = (folder / "model.onnx").stat().st_size
    (folder / "model.onnx").write_bytes(bytes(size))
    served.operations.deploy("model:m@2", percent=50)
    served.taken()
    states = served.supervisor.states()
    problems = {name: said for state in states for name, said in state.problems.items()}
    assert "m" in problems
    decisions = served.home.controller.guard({}, problems)
    assert [d.kind for d in decisions] == ["rollback"]
    assert "cannot be loaded" in decisions[0].reason
    served.ask(5)


def test_a_candidate_that_errs_is_rolled_back_by_its_labels_and_the_picture_shows_how(
    served: Served, register: Register
) -> None:
    register(served.home, "contrary")
    served.operations.deploy("model:m@2", percent=50)
    served.taken()
    rollout = served.home.deployments.rollouts("m")[0]
    for _ in range(6):
        labels = []
        for answer in served.ask(40, rows=3):
            pairs = zip(answer["ids"], answer["a"], strict=True)
            labels += [{"prediction_id": i, "label": a > 0} for i, a in pairs]
        assert served.http.post("/labels/m", json={"labels": labels}).is_success
        served.flush()
        served.home.controller.tick()
        if served.home.deployments.rollout(rollout.id).status != "running":
            break
    ended = served.home.deployments.rollout(rollout.id)
    assert ended.status == "rolled-back"
    looks = served.home.looks.of(rollout.id)
    assert looks[-1].code == "quality"
    assert looks[-1].numbers["low"] > 0
    assert looks[-1].numbers["labels"] == 3 * looks[-1].numbers["units"]
    told = [f.fields()["code"] for f in facts(served.home, "rollout.judged")]
    assert told[-1] == "quality"
    assert len(told) == len(set(told))


def test_a_shadow_is_compared_and_the_comparison_kept(served: Served, register: Register) -> None:
    register(served.home, "contrary")
    served.operations.shadow("model:m@2")
    served.taken()
    served.ask(80, rows=2)
    served.flush()
    served.home.controller.tick()
    (report,) = served.home.shadow_reports.of("m")
    assert (report.version, report.rows, report.requests) == (2, 160, 80)
    assert report.agreement < 0.1
    assert report.difference_interval is not None
    assert report.examples[0].said != report.examples[0].mirrored_said
    assert len(facts(served.home, "shadow.compared")) == 1
    served.home.controller.tick()
    assert len(facts(served.home, "shadow.compared")) == 1
    served.operations.shadow("model:m@2", on=False)
    assert served.home.shadow_reports.of("m") == [report]


def test_an_answer_of_a_split_is_traced_to_who_divided_the_traffic(
    served: Served, register: Register
) -> None:
    register(served.home, "contrary")
    served.operations.split("m", "1=50,2=50")
    served.taken()
    answers = served.ask(20)
    served.flush()
    links = [served.operations.trace(answer["ids"][0]).links for answer in answers]
    seen = {found[2].reference for found in links}
    assert seen == {"model:m@1", "model:m@2"}
    assert {found[1].facts["reason"] for found in links} == {
        "The traffic was divided by hand: 1=50,2=50."
    }


def test_what_is_changed_by_hand_is_said_before_and_told_after(
    home: Home, register: Register, tmp_path: Path
) -> None:
    for kind in ("good", "contrary", "good"):
        register(home, kind)
    operations = Operations(home)
    operations.deploy("model:m@1")
    plan = operations.deploy_plan("model:m@2", percent=10)
    assert plan.sentence.startswith("model:m@2 answers 10% at m")
    assert operations.endpoints()[0].canary is None
    operations.deploy("model:m@2", percent=10)
    assert operations.rollouts("m")[0].policy.steps == (10.0, 25.0, 100.0)
    assert operations.promote_plan("model:m@2").after[0].version == 2
    operations.promote("model:m@2")
    assert home.registry.model("m").aliases == {"champion": 2}
    operations.split("m", "2=50,3=50")
    assert [(p.version, p.percent) for p in operations.parts("m")][:2] == [(2, 50.0), (3, 50.0)]
    operations.rollback("m")
    operations.rollback("m")
    assert home.registry.model("m").aliases == {"champion": 1}
