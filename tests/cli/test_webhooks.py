"""`tidemill webhooks`: added, tried, looked at and removed, where the home allows it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.webhooks.receiver import receiving

from tidemill.cli.entry import run
from tidemill.home import Home


def test_a_webhook_from_beginning_to_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Home.open(tmp_path / "home").close()
    home = ["--home", str(tmp_path / "home")]
    add = ["webhooks", "add", "h", "https://hooks.example.com/", "--event", "model_version.created"]
    assert run([*add, *home]) == 1
    assert "TIDEMILL_WEBHOOK_HOSTS=" in capsys.readouterr().err
    with receiving() as receiver:
        monkeypatch.setenv("TIDEMILL_WEBHOOK_HOSTS", receiver.host)
        monkeypatch.setenv("SECRET", "canary")
        add[3] = receiver.url
        assert run([*add, "--secret-env", "NOTHING", *home]) == 2
        assert "'NOTHING' is not set" in capsys.readouterr().err
        assert run([*add, "--secret-env", "SECRET", "--json", *home]) == 0
        hook = json.loads(capsys.readouterr().out)["id"]
        assert run(["webhooks", "test", hook, *home]) == 0
        assert "answered 200: ok" in capsys.readouterr().out
        receiver.answers += [500]
        assert run(["webhooks", "test", hook, *home]) == 6
        assert len(receiver.taken) == 2
        assert run(["webhooks", "list", *home]) == 0
        shown = capsys.readouterr().out
        assert hook in shown
        assert "canary" not in shown
        assert run(["webhooks", "deliveries", hook, *home]) == 0
        assert run(["webhooks", "remove", hook, *home]) == 0
        assert run(["webhooks", "deliveries", hook, *home]) == 3


def test_a_setting_that_names_no_host_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Home.open(tmp_path / "home").close()
    monkeypatch.setenv("TIDEMILL_WEBHOOK_HOSTS", "https://hooks.example.com")
    assert run(["webhooks", "list", "--home", str(tmp_path / "home")]) == 2
    assert "webhook_hosts" in capsys.readouterr().err
