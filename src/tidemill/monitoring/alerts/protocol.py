"""What alerting reads from, and what it speaks to."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import msgspec

from tidemill.core.events import Fact
from tidemill.monitoring.alerts.records import Message, Observation, Reading


class Source(Protocol):
    """Tells what a fact of the journal says of things that may be alerts.

    It is asked about each fact once, in their order, and again after a crash; it must give the
    same answer to the same fact.
    """

    @property
    def types(self) -> tuple[str, ...]:
        """The types of facts that it reads."""
        ...

    def __call__(self, fact: Fact) -> Sequence[Observation | Reading]:
        """Return what a fact says."""
        ...


class Gauges(Protocol):
    """Tells figures of the moment, each time that it is asked."""

    def __call__(self) -> Sequence[Reading]:
        """Return the figures as they are now."""
        ...


class SinkSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a sink is opened with. It is never written anywhere: it holds secrets.

    Attributes:
        name: The sink's name in the policy.
        url: Its address, where it has one.
        secret: What its messages are signed with, where they are.
        allow_private: Whether it may be this machine or one of a private network.
        timeout: How long one attempt may take, in seconds.
        logs: The folder of the home's logs.
        options: What the policy says besides.
    """

    name: str
    url: str = ""
    secret: str = ""
    allow_private: bool = False
    timeout: float = 10.0
    logs: Path
    options: dict[str, bool | int | float | str] = {}


class Sink(Protocol):
    """Takes messages. A sink is asked by one thread at a time.

    A message may come again, with the same id, when it is not known whether it arrived; messages
    about one alert come in their order.
    """

    def send(self, message: Message) -> None:
        """Deliver a message; return when it was taken.

        Raises:
            SinkFailed: It was not, or not surely. It is tried again later.
            ForbiddenAddress: The address is private, and that is not allowed.
        """
        ...


class OpenSink(Protocol):
    """The `PLUGIN` of a sink's file."""

    def __call__(self, settings: SinkSettings) -> Sink:
        """Return the sink; nothing is sent yet.

        Raises:
            MissingExtra: A library that it needs is not installed.
            SinkFailed: The settings cannot be used.
        """
        ...
