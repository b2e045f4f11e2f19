"""Every sink over its contract, and each against a receiver that others wrote."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from standardwebhooks import Webhook

from tidemill.monitoring.alerts.delivery import PLUGINS
from tidemill.monitoring.alerts.errors import ForbiddenAddress, SinkFailed
from tidemill.monitoring.alerts.protocol import SinkSettings
from tidemill.monitoring.egress import check_host, post
from tidemill.monitoring.sinks.alertmanager import AlertmanagerSink
from tidemill.monitoring.sinks.log import FILE
from tidemill.testing.sinks import NOON, Receiver, SinkContract, a_message

from .receiving import Inbox, inbox

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
# Apprise asks for a module of the standard library that is on its way out.
pytestmark = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
ALERTMANAGER = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")


def over_http(name: str, box: Inbox, logs: Path, url: str) -> Receiver:
    return Receiver(
        open_sink=PLUGINS.load(name),
        settings=SinkSettings(name="s", url=url, allow_private=True, logs=logs),
        received=lambda: [json.dumps(json.loads(b), ensure_ascii=False) for b in box.bodies],
        refuse=box.refuse,
    )


class TestWebhook(SinkContract):
    @pytest.fixture
    def receiver(self, tmp_path: Path) -> Iterator[Receiver]:
        with inbox() as box:
            yield over_http("webhook", box, tmp_path, f"{box.url}/hook?team=a")


class TestAlertmanager(SinkContract):
    @pytest.fixture
    def receiver(self, tmp_path: Path) -> Iterator[Receiver]:
        with inbox() as box:
            yield over_http("alertmanager", box, tmp_path, box.url)


class TestApprise(SinkContract):
    @pytest.fixture
    def receiver(self, tmp_path: Path) -> Iterator[Receiver]:
        with inbox() as box:
            url = box.url.replace("http://", "json://")
            yield over_http("apprise", box, tmp_path, f"{url}/tell?retry=0&wait=0")


class TestLog(SinkContract):
    @pytest.fixture
    def receiver(self, tmp_path: Path) -> Receiver:
        logs = tmp_path / "logs"

        def refuse(yes: bool) -> None:
            # A file where the folder belongs: root may write into any folder.
            if yes:
                logs.write_text("in the way")
            else:
                logs.unlink()

        def received() -> list[str]:
            file = logs / FILE
            return file.read_text("utf-8").splitlines() if file.exists() else []

        return Receiver(
            open_sink=PLUGINS.load("log"),
            settings=SinkSettings(name="log", logs=logs),
            received=received,
            refuse=refuse,
        )


def test_every_sink_is_under_the_contract() -> None:
    under = {c.__name__.removeprefix("Test").lower() for c in SinkContract.__subclasses__()}
    assert under == set(PLUGINS.names())


def test_a_receiver_of_others_verifies_a_webhook(tmp_path: Path) -> None:
    with inbox() as box:
        settings = SinkSettings(
            name="s", url=box.url, secret=SECRET, allow_private=True, logs=tmp_path
        )
        PLUGINS.load("webhook")(settings).send(a_message())
    verified = Webhook(SECRET).verify(box.bodies[0], box.headers[0])
    assert verified["type"] == "alert.firing"
    assert verified["data"]["number"] == 7
    assert box.headers[0]["idempotency-key"] == verified["data"]["id"]
    with pytest.raises(Exception, match="signature"):
        Webhook(SECRET).verify(box.bodies[0].replace("0.12", "0.99"), box.headers[0])


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "localhost", "::1", "0.0.0.0", "10.0.0.8", "192.168.1.1", "fe80::1"),
        *("169.254.169.254", "::ffff:127.0.0.1", "2130706433", "0x7f000001", "fd00::1"),
        *("100.64.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"),
    ],
)
def test_private_addresses_are_refused_however_they_are_written(host: str) -> None:
    with pytest.raises((ForbiddenAddress, SinkFailed)) as caught:
        check_host(host, 80, allow_private=False)
    if isinstance(caught.value, ForbiddenAddress):
        assert "allow_private" in str(caught.value)


@pytest.mark.parametrize("name", ["webhook", "alertmanager", "apprise"])
def test_no_sink_reaches_this_machine_unless_the_policy_allows_it(
    name: str, tmp_path: Path
) -> None:
    with inbox() as box:
        url = box.url.replace("http://", "json://") if name == "apprise" else box.url
        sink = PLUGINS.load(name)(SinkSettings(name="s", url=url, logs=tmp_path))
        with pytest.raises(ForbiddenAddress, match="private network"):
            sink.send(a_message())
        assert box.bodies == []


def test_redirects_are_not_followed(tmp_path: Path) -> None:
    with inbox() as inner, inbox() as outer:
        outer.status, outer.location = 302, inner.url
        settings = SinkSettings(name="s", url=outer.url, allow_private=True, logs=tmp_path)
        with pytest.raises(SinkFailed, match="302"):
            PLUGINS.load("webhook")(settings).send(a_message())
        assert inner.bodies == []


def test_an_endless_answer_ends() -> None:
    listening = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listening.getsockname()[1]}"
    with listening, pytest.raises(SinkFailed, match="does not answer"):
        post(url, b"{}", {}, timeout=0.5, allow_private=True)


@pytest.mark.parametrize(
    "url",
    ["", "ftp://a/b", "http://", "http://a b/", "http://[::1", "http://h:99999/", "file:///x"],
)
def test_addresses_that_are_none_are_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(SinkFailed) as caught:
        post(url, b"{}", {}, timeout=1, allow_private=True)
    assert "The address cannot be used." in str(caught.value)
    assert len(url) < 8 or url not in str(caught.value)


@pytest.mark.parametrize("url", ["nonsense", "nonsense://token-token", "slack://"])
def test_apprise_does_not_repeat_an_address_that_it_cannot_read(url: str, tmp_path: Path) -> None:
    with pytest.raises(SinkFailed) as caught:
        PLUGINS.load("apprise")(SinkSettings(name="s", url=url, logs=tmp_path))
    assert url not in str(caught.value)


def test_the_log_is_put_aside_before_it_grows_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tidemill.monitoring.sinks.log._MOST_BYTES", 2000)
    sink = PLUGINS.load("log")(SinkSettings(name="log", logs=tmp_path))
    for _ in range(40):
        sink.send(a_message())
    assert {p.name for p in tmp_path.iterdir()} == {FILE, f"{FILE}.1"}
    assert sum(p.stat().st_size for p in tmp_path.iterdir()) < 8000


@pytest.fixture
def alertmanager(tmp_path: Path) -> Iterator[str]:
    """A real Alertmanager on loopback."""
    if ALERTMANAGER is None:
        pytest.skip("Alertmanager is not installed.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    (tmp_path / "am.yml").write_text("route:\n  receiver: nobody\nreceivers:\n- name: nobody\n")
    command = [
        ALERTMANAGER,
        f"--config.file={tmp_path / 'am.yml'}",
        f"--storage.path={tmp_path / 'am'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
    ]
    with (tmp_path / "am.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        eventually(lambda: bool(fetched(f"{url}/api/v2/status")))
        yield url
    finally:
        process.terminate()
        process.wait(20)


def fetched(url: str) -> Any:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)
    except urllib.error.URLError:
        return None


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_real_alertmanager_has_what_fires_and_lets_go_of_what_is_over(
    alertmanager: str, tmp_path: Path
) -> None:
    sink = AlertmanagerSink(
        SinkSettings(name="am", url=alertmanager, allow_private=True, logs=tmp_path)
    )

    def fires() -> list[tuple[str, str]]:
        found = fetched(f"{alertmanager}/api/v2/alerts?active=true") or []
        return sorted((a["labels"]["alertname"], a["labels"]["severity"]) for a in found)

    warning = a_message(severity="warning")
    sink.send(warning)
    sink.send(warning)
    eventually(lambda: fires() == [("TidemillPerformance", "warning")])
    sink.send(msgspec.structs.replace(warning, severity="critical"))
    eventually(lambda: fires() == [("TidemillPerformance", "critical")])
    sink.send(msgspec.structs.replace(warning, status="resolved", time=NOON + timedelta(hours=1)))
    eventually(lambda: fires() == [])
