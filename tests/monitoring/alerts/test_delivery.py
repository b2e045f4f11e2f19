"""Messages reach their sinks, or wait, or are known to be dead; and no secret is told."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.core.errors import Conflict, NotFound
from tidemill.core.policy import AlertPolicy, SinkPolicy
from tidemill.journal.service import Journal
from tidemill.monitoring.alerts.events import DeliveryGivenUp
from tidemill.monitoring.alerts.records import Delivery

from .conftest import Desk
from .receiving import inbox

CANARY = "canary-7f3a-very-secret"


def hook(url: str, **more: object) -> AlertPolicy:
    sink = SinkPolicy(kind="webhook", url=url, allow_private=True)
    return AlertPolicy(sinks={"hook": msgspec.structs.replace(sink, **more)})


def test_what_fires_and_what_is_over_arrive_in_their_order(desk: Desk) -> None:
    with inbox() as box:
        desk.policy = hook(box.url)
        desk.judge("drift")
        desk.judge()
        desk.alerts.tick()
        assert desk.dispatcher.flush() == 2
        assert desk.dispatcher.flush() == 0
    types = [json.loads(b)["type"] for b in box.bodies]
    assert types == ["alert.firing", "alert.resolved"]
    assert desk.dispatcher.counts() == {"delivered": 2}


def test_without_a_sink_alerts_go_to_the_log(desk: Desk, tmp_path: Path) -> None:
    desk.judge("drift")
    desk.alerts.tick()
    desk.dispatcher.flush()
    line = json.loads((tmp_path / "logs" / "alerts.log").read_text())
    assert (line["status"], line["kind"]) == ("firing", "drift")


def test_a_sink_that_is_down_is_tried_less_and_less_often_and_gets_all_in_order(
    desk: Desk, clock: SimulatedClock
) -> None:
    with inbox() as box:
        desk.policy = hook(box.url)
        box.refuse(True)
        desk.judge("drift", "performance")
        desk.judge()
        desk.alerts.tick()
        dues = []
        for _ in range(5):
            desk.dispatcher.flush()
            first = desk.dispatcher.deliveries()[-1]
            assert first.error.startswith("It answered with status 503")
            dues.append((first.due - clock.now()).total_seconds())
            clock.set(first.due)
        assert dues == [5, 10, 20, 40, 80]
        box.refuse(False)
        clock.sleep(3600)
        assert desk.dispatcher.flush() == 4
    told = [(d["data"]["number"], d["type"]) for d in map(json.loads, box.bodies)]
    for number in (1, 2):
        assert [t for n, t in told if n == number] == ["alert.firing", "alert.resolved"]


def test_one_sink_that_is_down_holds_no_other_back(desk: Desk) -> None:
    with inbox() as up, inbox() as down:
        down.refuse(True)
        sinks = {**hook(up.url).sinks, "down": hook(down.url).sinks["hook"]}
        desk.policy = AlertPolicy(sinks=sinks)
        desk.judge("drift")
        desk.alerts.tick()
        assert desk.dispatcher.flush() == 1
        assert len(up.bodies) == 1


def given_up(desk: Desk, clock: SimulatedClock) -> Delivery:
    for _ in range(60):
        desk.dispatcher.flush()
        newest = desk.dispatcher.deliveries()[0]
        if newest.status == "dead":
            return newest
        clock.set(newest.due)
    raise AssertionError("it was never given up")


def test_after_a_day_a_message_is_dead_and_seen_and_can_be_tried_again(
    desk: Desk, clock: SimulatedClock, journal: Journal
) -> None:
    with inbox() as box:
        desk.policy = hook(box.url)
        box.refuse(True)
        desk.judge("drift")
        desk.alerts.tick()
        with pytest.raises(Conflict, match="is waiting"):
            desk.dispatcher.again(desk.dispatcher.deliveries()[0].id)
        dead = given_up(desk, clock)
        assert dead.ended is not None
        assert dead.ended - dead.made >= timedelta(days=1)
        (fact,) = journal.read(types=(DeliveryGivenUp.type,))
        assert fact.read(DeliveryGivenUp).delivery == dead.id
        assert desk.dispatcher.counts() == {"dead": 1}
        box.refuse(False)
        desk.dispatcher.again(dead.id)
        assert desk.dispatcher.flush() == 1
    with pytest.raises(NotFound, match="no delivery"):
        desk.dispatcher.again("nothing")


def test_a_sink_that_is_gone_from_the_policy_is_named(desk: Desk) -> None:
    desk.policy = AlertPolicy(sinks={"hook": SinkPolicy(kind="log")})
    desk.judge("drift")
    desk.alerts.tick()
    desk.policy = AlertPolicy(sinks={"hooks": SinkPolicy(kind="log")})
    desk.dispatcher.flush()
    assert "'hooks'" in desk.dispatcher.deliveries()[0].error


def test_a_plugin_that_fails_as_nobody_expects_stops_nothing(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_settings: object) -> object:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr("tidemill.monitoring.sinks.webhook.PLUGIN", broken)
    desk.policy = hook("https://example.org")
    desk.judge("drift")
    desk.alerts.tick()
    assert desk.dispatcher.flush() == 0
    assert desk.dispatcher.deliveries()[0].error == "ZeroDivisionError: oh"


def test_old_deliveries_are_forgotten_but_not_dead_ones(desk: Desk, clock: SimulatedClock) -> None:
    desk.judge("drift")
    desk.alerts.tick()
    desk.dispatcher.flush()
    clock.sleep(40 * 86400)
    desk.judge()
    desk.alerts.tick()
    desk.dispatcher.flush()
    assert [d.message.status for d in desk.dispatcher.deliveries()] == ["resolved"]


def test_a_test_message_tells_of_each_sink_whether_it_arrived(desk: Desk) -> None:
    with inbox() as box:
        sinks = {**hook(box.url).sinks, "lost": SinkPolicy(kind="webhook", url_env="NOWHERE")}
        desk.policy = AlertPolicy(sinks=sinks)
        good, bad = desk.dispatcher.test()
        assert (good.arrived, bad.arrived) == (True, False)
        assert "The environment variable NOWHERE is not set." in bad.error
        assert json.loads(box.bodies[0])["type"] == "alert.test"
        with pytest.raises(NotFound, match="'hook'"):
            desk.dispatcher.test(["hok"])
    assert desk.dispatcher.deliveries() == []


@pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
@pytest.mark.parametrize("kind", ["webhook", "alertmanager", "apprise"])
@pytest.mark.parametrize("place", ["env", "file"])
def test_a_secret_is_told_nowhere(
    desk: Desk,
    environment: dict[str, str],
    kind: str,
    place: str,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    with inbox() as box:
        scheme = "json" if kind == "apprise" else "http"
        url = f"{box.url.replace('http', scheme, 1)}/{CANARY}/x?token={CANARY}&retry=0&wait=0"
        environment |= {"URL": url, "KEY": CANARY}
        (tmp_path / "url").write_text(f"{url}\n")
        (tmp_path / "key").write_text(f"{CANARY}\n")
        where = (
            {"url_env": "URL", "secret_env": "KEY"}
            if place == "env"
            else {"url_file": "url", "secret_file": "key"}
        )
        desk.policy = AlertPolicy(
            sinks={"s": SinkPolicy(kind=kind, allow_private=True, timeout=5, **where)}  # type: ignore[arg-type]
        )
        desk.judge("drift")
        desk.alerts.tick()
        box.refuse(True)
        desk.dispatcher.flush()
        answer = repr(desk.dispatcher.test()) + repr(desk.dispatcher.deliveries())
        assert "s" in answer
        box.refuse(False)
        desk.clock.sleep(3600)
        assert desk.dispatcher.flush() == 1
    # The environment says that loopback is refused: that error names the host alone.
    strict = desk.policy.sinks["s"]
    desk.policy = AlertPolicy(sinks={"s": msgspec.structs.replace(strict, allow_private=False)})
    answer += repr(desk.dispatcher.test())
    assert "private network" in answer
    assert CANARY not in answer
    assert CANARY not in caplog.text
    assert CANARY not in "".join(f.data.__repr__() for f in desk.journal.read())
    assert CANARY.encode() not in (tmp_path / "tidemill.db").read_bytes()


def test_a_secret_that_is_not_there_waits_for_it(
    desk: Desk, environment: dict[str, str], clock: SimulatedClock
) -> None:
    with inbox() as box:
        desk.policy = AlertPolicy(
            sinks={"s": SinkPolicy(kind="webhook", url_env="HOOK", allow_private=True)}
        )
        desk.judge("drift")
        desk.alerts.tick()
        assert desk.dispatcher.flush() == 0
        environment["HOOK"] = box.url
        clock.sleep(60)
        assert desk.dispatcher.flush() == 1
