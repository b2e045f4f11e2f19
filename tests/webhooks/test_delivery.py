"""What happens to models is told, signed, and at least once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import select
from tests.webhooks.conftest import Rooms
from tests.webhooks.receiver import Receiver

from tidemill.storage.db.engine import Database
from tidemill.webhooks import store
from tidemill.webhooks.child import Sender
from tidemill.webhooks.dispatcher import Dispatcher
from tidemill.webhooks.errors import BadWebhook, DestinationRefused, WebhookNotFound
from tidemill.webhooks.payloads import EXAMPLES
from tidemill.webhooks.signing import signature

ON_BOTH_DATABASES = True
ME = "user:me"
ALL = list(EXAMPLES)


@contextmanager
def dispatching(rooms: Rooms) -> Iterator[Dispatcher]:
    dispatcher = Dispatcher(rooms.webhooks)
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        dispatcher.stop()


def until(found: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not found():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_every_event_is_told_as_mlflow_tells_it(rooms: Rooms, receiver: Receiver) -> None:
    rooms.catalogue.create("before", actor=ME)
    rooms.webhooks.create("all", receiver.url, ALL, secret="s3cret")
    with dispatching(rooms):
        rooms.catalogue.create("m", actor=ME, tags={"a": "b"}, description="d")
        rooms.registry.register_files("m", "s3://x/y", actor=ME, tags={"c": "d"})
        rooms.catalogue.set_tag("m", "of", "model", actor=ME)
        rooms.catalogue.set_tag("m", "k", "v", actor=ME, version=1)
        rooms.catalogue.delete_tag("m", "k", actor=ME, version=1)
        rooms.registry.set_alias("m", "champion", 1, actor=ME, reason="good")
        rooms.registry.remove_alias("m", "champion", actor=ME, reason="bad")
        taken = receiver.wait(6)
    said = [(t.read["entity"], t.read["action"], t.read["data"]) for t in taken]
    assert said == [
        ("registered_model", "created", {"name": "m", "tags": {"a": "b"}, "description": "d"}),
        (
            "model_version",
            "created",
            {
                **{"name": "m", "version": "1", "source": "s3://x/y", "run_id": None},
                **{"tags": {"c": "d"}, "description": None},
            },
        ),
        ("model_version_tag", "set", {"name": "m", "version": "1", "key": "k", "value": "v"}),
        ("model_version_tag", "deleted", {"name": "m", "version": "1", "key": "k"}),
        ("model_version_alias", "created", {"name": "m", "alias": "champion", "version": "1"}),
        ("model_version_alias", "deleted", {"name": "m", "alias": "champion"}),
    ]
    for t in taken:
        delivery, stamp = t.headers["X-MLflow-Delivery-Id"], t.headers["X-MLflow-Timestamp"]
        assert t.headers["X-MLflow-Signature"] == signature("s3cret", delivery, stamp, t.body)
        assert t.headers["Host"] == receiver.host
    assert len({t.headers["X-MLflow-Delivery-Id"] for t in taken}) == 6


def test_what_fails_is_sent_again_and_at_last_given_up(rooms: Rooms, receiver: Receiver) -> None:
    hook = rooms.webhooks.create("h", receiver.url, ALL)
    receiver.answers += [503, 429, 200, 500, 500, 500, 404, 302]
    receiver.redirect = "http://169.254.169.254/"
    with dispatching(rooms):
        for number, name in enumerate("abcd", 1):
            rooms.catalogue.create(name, actor=ME)
            until(lambda: _ended(rooms, hook.id) == number)  # noqa: B023
    ended = [(d.status, d.attempts, d.answered) for d in rooms.webhooks.deliveries(hook.id)]
    assert ended == [
        *(("given-up", 1, 302), ("given-up", 1, 404)),
        *(("given-up", 3, 500), ("delivered", 3, 200)),
    ]
    first = {t.headers["X-MLflow-Delivery-Id"] for t in receiver.taken[:3]}
    assert len(first) == 1, "a message that is sent again keeps its id"
    assert "X-MLflow-Signature" not in receiver.taken[0].headers


def _ended(rooms: Rooms, hook: str) -> int:
    return sum(d.status != "waiting" for d in rooms.webhooks.deliveries(hook))


def test_what_happened_while_nobody_sent_is_told_later(
    rooms: Rooms, receiver: Receiver, db: Database, tmp_path: Path, sender: Sender
) -> None:
    rooms.webhooks.create("h", receiver.url, ["registered_model.created"])
    for name in "abc":
        rooms.catalogue.create(name, actor=ME)
    again = Rooms(db, tmp_path, sender, receiver.host)
    with dispatching(again):
        taken = receiver.wait(3)
    assert [t.read["data"]["name"] for t in taken] == ["a", "b", "c"]
    with dispatching(Rooms(db, tmp_path, sender, receiver.host)):
        again.catalogue.create("d", actor=ME)
        assert [t.read["data"]["name"] for t in receiver.wait(4)] == ["a", "b", "c", "d"]


def test_a_sending_process_that_is_killed_loses_nothing(
    rooms: Rooms, receiver: Receiver, sender: Sender
) -> None:
    hook = rooms.webhooks.create("h", receiver.url, ALL)
    receiver.hold.clear()
    with dispatching(rooms):
        rooms.catalogue.create("a", actor=ME)
        receiver.wait(1)
        assert sender.pid is not None
        os.kill(sender.pid, signal.SIGKILL)
        receiver.wait(2)
        receiver.hold.set()
        until(lambda: rooms.webhooks.deliveries(hook.id)[0].status == "delivered")
    assert len({t.headers["X-MLflow-Delivery-Id"] for t in receiver.taken}) == 1


def test_a_webhook_that_is_disabled_or_deleted_hears_nothing(
    rooms: Rooms, receiver: Receiver
) -> None:
    quiet = rooms.webhooks.create("quiet", receiver.url, ALL, status="DISABLED")
    gone = rooms.webhooks.create("gone", receiver.url, ALL)
    heard = rooms.webhooks.create("heard", receiver.url, ALL)
    rooms.webhooks.delete(gone.id)
    rooms.catalogue.create("a", actor=ME)
    with dispatching(rooms):
        receiver.wait(1)
        until(lambda: rooms.webhooks.deliveries(heard.id)[0].status == "delivered")
        rooms.webhooks.update(quiet.id, status="ACTIVE")
        rooms.catalogue.create("b", actor=ME)
        receiver.wait(3)
    assert [d.event for d in rooms.webhooks.deliveries(quiet.id)] == ["registered_model.created"]
    with pytest.raises(WebhookNotFound):
        rooms.webhooks.get(gone.id)


def test_a_secret_lies_sealed_and_is_told_to_nobody(
    rooms: Rooms, receiver: Receiver, db: Database, tmp_path: Path, sender: Sender
) -> None:
    hook = rooms.webhooks.create("h", receiver.url, ALL, secret="canary-secret")
    assert hook.signed
    assert "canary" not in repr(rooms.webhooks.get(hook.id))
    with db.read() as connection:
        assert "canary" not in repr(connection.execute(select(store.hooks)).all())
    key = tmp_path / "keys" / "webhooks.key"
    assert key.stat().st_mode & 0o777 == 0o600
    assert rooms.webhooks.test(hook.id).done
    key.unlink()
    assert "another home" in rooms.webhooks.test(hook.id).error
    rooms.webhooks.update(hook.id, secret="")
    assert rooms.webhooks.test(hook.id, "model_version_tag.set").done
    assert receiver.taken[-1].read["data"] == EXAMPLES["model_version_tag.set"]
    assert not rooms.webhooks.get(hook.id).signed


def test_what_cannot_be_a_webhook_is_refused(rooms: Rooms, receiver: Receiver) -> None:
    create = rooms.webhooks.create
    for name in ("", "-a", "a" * 64, "a b", "a\n"):
        with pytest.raises(BadWebhook, match="name"):
            create(name, receiver.url, ALL)
    for events in ([], ["model_version.deleted"], ["nothing"], ["prompt.created"]):
        with pytest.raises(BadWebhook):
            create("h", receiver.url, events)
    with pytest.raises(BadWebhook, match="secret"):
        create("h", receiver.url, ALL, secret="\ud800")
    with pytest.raises(DestinationRefused):
        create("h", "https://elsewhere.example.com", ALL)
    hook = create("h", "https://localhost/", ALL)
    assert "inside" in rooms.webhooks.test(hook.id).error
    assert rooms.webhooks.hooks().items == [hook]


def test_a_slow_receiver_holds_no_other_up(
    rooms: Rooms, receiver: Receiver, db: Database, tmp_path: Path
) -> None:
    from tests.webhooks.receiver import receiving

    with receiving() as slow:
        slow.hold.clear()
        sender = Sender()
        both = Rooms(db, tmp_path, sender, f"{receiver.host},{slow.host}")
        both.webhooks.create("slow", slow.url, ALL)
        both.webhooks.create("fast", receiver.url, ALL)
        with dispatching(both):
            for name in "abc":
                both.catalogue.create(name, actor=ME)
            receiver.wait(3)
            assert len(slow.taken) == 1
            slow.hold.set()
            slow.wait(3)
        sender.close()
