"""`tidemill alerts` and `tidemill monitor incident`, on a home with an alert."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from tidemill.cli.entry import run
from tidemill.core.references import Ref
from tidemill.home import Home
from tidemill.monitoring.events import FindingEnded, FindingRaised
from tidemill.monitoring.records import Finding

POLICY = """
[alerts.rules.low]
metric = "recall"
below = 0.4
[alerts.sinks.hook]
kind = "webhook"
url_env = "NO_SUCH_HOOK"
[alerts.sinks.log]
kind = "log"
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one alert that fires."""
    (tmp_path / "tidemill.toml").write_text(POLICY)
    with Home.open(tmp_path / ".tidemill") as home:
        now = home.clock.now()
        finding = Finding(
            kind="performance",
            severity="critical",
            endpoint="taxis",
            model="taxi",
            version=3,
            since=now - timedelta(days=7),
            until=now,
            message="recall fell 0.48 → 0.12",
        )
        subject = Ref("endpoint", "taxis")
        home.journal.record(FindingRaised(finding=finding), subject=subject, actor="monitoring")
        home.alerts.tick()
    return tmp_path / ".tidemill"


class Said:
    """Runs commands on a home."""

    def __init__(self, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._home = home
        self._capsys = capsys

    def __call__(self, *words: str, code: int = 0) -> str:
        assert run([*words, "--home", str(self._home)]) == code
        out, err = self._capsys.readouterr()
        return out + err

    def json(self, *words: str, code: int = 0) -> Any:
        assert run([*words, "--json", "--home", str(self._home)]) == code
        return json.loads(self._capsys.readouterr().out)


@pytest.fixture
def said(home: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(home, capsys)


def test_what_fires_is_listed_and_lets_ci_branch(said: Said, home: Path) -> None:
    assert "recall fell 0.48 → 0.12" in said("alerts", "list", "--check", code=6)
    assert said.json("alerts", "list")[0]["number"] == 1
    assert "critical" in said("alerts", "show", "1")
    assert "alert.fired" in said("alerts", "history", "1")
    with Home.open(home) as opened:
        ended = FindingEnded(
            kind="performance", endpoint="taxis", model="taxi", message="It recovered."
        )
        opened.journal.record(ended, subject=Ref("endpoint", "taxis"), actor="monitoring")
        opened.alerts.tick()
    assert said.json("alerts", "list", "--check") == []
    assert "It recovered." in said("alerts", "show", "1")
    assert len(said.json("alerts", "list", "--all")) == 1


def test_what_nothing_will_end_is_ended_by_hand(said: Said) -> None:
    said("alerts", "resolve", "1", "--reason", "the endpoint is gone")
    assert "the endpoint is gone" in said("alerts", "show", "1")
    assert said.json("monitor", "incidents")[0]["status"] == "resolved"
    assert "is over since" in said("alerts", "resolve", "1", "--reason", "r", code=4)


def test_an_alert_is_taken_silenced_and_not_silenced(said: Said) -> None:
    assert "Alert 1 is yours." in said("alerts", "ack", "1", "--note", "looking")
    assert "looking" in said("alerts", "show", "1")
    number = said("alerts", "silence", "1", "--for", "2h", "--reason", "known").split()[0]
    assert "known" in said("alerts", "silences")
    assert "is ended" in said("alerts", "unsilence", number)
    assert said.json("alerts", "silences") == []
    assert len(said.json("alerts", "silences", "--all")) == 1


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (["alerts", "show", "7"], 3, "There is no alert 7"),
        (["alerts", "ack", "7"], 3, "There is no alert 7"),
        (["alerts", "unsilence", "7"], 3, "There is no silence 7"),
        (["alerts", "retry", "nothing"], 3, "There is no delivery"),
        (["alerts", "test", "hok"], 3, "'hook'"),
        (["monitor", "incident", "7"], 3, "There is no incident 7"),
        (["alerts", "silence", "1", "--for", "soon", "--reason", "r"], 2, "'soon'"),
        (["alerts", "silence", "--for", "1h", "--reason", "r"], 2, "cover every alert"),
        (["alerts", "silence", "1", "--for", "1h", "--reason", " "], 2, "no reason"),
        (["alerts", "silence", "1", "--for", "900d", "--reason", "r"], 2, "at most 366 days"),
        (["alerts", "silence", "--severity", "huge", "--for", "1h", "--reason", "r"], 2, "huge"),
        (["alerts", "show", "99999999999"], 2, "99999999999"),
    ],
)
def test_mistakes_get_one_clear_error(
    said: Said, words: list[str], code: int, expected: str
) -> None:
    assert expected in said(*words, code=code)


def test_messages_are_tried_and_shown(said: Said, home: Path) -> None:
    waiting = said.json("alerts", "deliveries")
    assert {d["sink"] for d in waiting} == {"hook", "log"}
    said("loop", "tick")
    states = {d["sink"]: d["status"] for d in said.json("alerts", "deliveries", "--alert", "1")}
    assert states == {"hook": "waiting", "log": "delivered"}
    assert "NO_SUCH_HOOK is not set" in said("alerts", "deliveries", "--waiting")
    assert said.json("alerts", "deliveries", "--dead") == []
    assert "recall fell" in (home / "logs" / "alerts.log").read_text()


def test_a_test_message_says_which_sink_took_it(said: Said) -> None:
    trials = {t["sink"]: t["arrived"] for t in said.json("alerts", "test", code=1)}
    assert trials == {"hook": False, "log": True}
    assert "arrived" in said("alerts", "test", "log")


def test_an_incident_is_told_from_its_cause_on(said: Said) -> None:
    assert "recall fell" in said("monitor", "incidents", "--open")
    told = said("monitor", "incident", "1")
    assert "Found: performance" in told
    assert "← 1" in told
    account = said.json("monitor", "incident", "1")
    assert [m["lane"] for m in account["moments"]] == ["finding", "alert"]
    assert account["moments"][1]["cause"] == account["moments"][0]["fact"]


def test_rules_are_written_for_prometheus(said: Said) -> None:
    assert 'metric="recall"' in said("monitor", "rules")
