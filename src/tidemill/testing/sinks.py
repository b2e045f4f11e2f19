"""What every sink must do. Subclass `SinkContract` and give it a `receiver`.

class TestMySink(SinkContract):
    @pytest.fixture
    def receiver(self, tmp_path: Path) -> Iterator[Receiver]:
        with my_server() as server:
            yield Receiver(
                open_sink=open_sink,
                settings=SinkSettings(name="mine", url=server.url, logs=tmp_path),
                received=lambda: server.bodies,
                refuse=server.refuse,
            )
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from tidemill.core.errors import TidemillError
from tidemill.monitoring.alerts.errors import SinkFailed
from tidemill.monitoring.alerts.protocol import OpenSink, SinkSettings
from tidemill.monitoring.alerts.records import Message, Sent

NOON = datetime(2026, 4, 3, 12, tzinfo=UTC)
AWKWARD = 'recall fell "0.48" → 0.12\n<b>& `temp`</b> \N{SNOWMAN} ' + "x" * 3000


class Receiver(msgspec.Struct, kw_only=True):
    """The other end of a sink.

    Attributes:
        open_sink: The sink's plugin.
        settings: With which it reaches this end.
        received: Returns what arrived so far, as texts.
        refuse: Has the other end refuse everything, or take it again.
    """

    open_sink: OpenSink
    settings: SinkSettings
    received: Callable[[], Sequence[str]]
    refuse: Callable[[bool], None]


def a_message(status: Sent = "firing", **changes: object) -> Message:
    """Return a message as alerts make them."""
    message = Message(
        id="0192f4c1a2b37def8123456789abcdef",
        status=status,
        severity="critical",
        title="flight-delay: quality fell",
        text="recall fell 0.48 → 0.12 since 3 April.",
        number=7,
        incident=3,
        fingerprint="00ff00ff00ff00ff",
        kind="performance",
        rule="performance",
        subject="endpoint:flight-delay",
        endpoint="flight-delay",
        model="flight-delay",
        version=4,
        opened=NOON,
        time=NOON,
    )
    return msgspec.structs.replace(message, **changes)


class SinkContract:
    """The contract of `Sink`; the other end is expected from the `receiver` fixture."""

    @pytest.fixture
    def receiver(self) -> Receiver:
        """The other end."""
        raise NotImplementedError("give the suite a receiver fixture")

    def test_opening_sends_nothing(self, receiver: Receiver) -> None:
        receiver.open_sink(receiver.settings)
        assert list(receiver.received()) == []

    @pytest.mark.parametrize("status", ["firing", "resolved", "test"])
    def test_a_message_arrives_with_what_it_says(self, receiver: Receiver, status: Sent) -> None:
        receiver.open_sink(receiver.settings).send(a_message(status))
        arrived = "".join(receiver.received())
        assert "flight-delay: quality fell" in arrived
        assert "0.12" in arrived

    @pytest.mark.parametrize("severity", ["info", "warning", "critical"])
    def test_every_severity_is_taken(self, receiver: Receiver, severity: str) -> None:
        receiver.open_sink(receiver.settings).send(a_message(severity=severity))
        assert len(receiver.received()) == 1

    def test_awkward_words_do_no_harm(self, receiver: Receiver) -> None:
        receiver.open_sink(receiver.settings).send(a_message(text=AWKWARD))
        assert "recall fell" in "".join(receiver.received())

    def test_the_same_message_may_come_again(self, receiver: Receiver) -> None:
        sink = receiver.open_sink(receiver.settings)
        sink.send(a_message())
        sink.send(a_message())
        assert len(receiver.received()) >= 1

    def test_what_was_not_taken_is_said_and_the_next_one_arrives(self, receiver: Receiver) -> None:
        sink = receiver.open_sink(receiver.settings)
        receiver.refuse(True)
        with pytest.raises(SinkFailed):
            sink.send(a_message())
        receiver.refuse(False)
        sink.send(a_message())
        assert "0.12" in "".join(receiver.received())

    def test_a_failure_does_not_tell_the_secret(self, receiver: Receiver) -> None:
        secret = "hunter2-hunter2"  # noqa: S105 - no secret, but what a test takes for one
        settings = msgspec.structs.replace(receiver.settings, secret=secret)
        receiver.refuse(True)
        with pytest.raises(TidemillError) as caught:
            receiver.open_sink(settings).send(a_message())
        assert secret not in str(caught.value)
