"""Hands alerts to Apprise, which knows Slack, mail, Teams, PagerDuty and a hundred more."""

from __future__ import annotations

import logging
import threading
from typing import Any

import apprise

from tidemill.core.errors import TidemillError
from tidemill.monitoring.alerts.errors import SinkFailed
from tidemill.monitoring.alerts.messages import body, heading
from tidemill.monitoring.alerts.protocol import Sink, SinkSettings
from tidemill.monitoring.alerts.records import Message
from tidemill.monitoring.egress import check_host

# Their lines for debugging hold whole addresses, with the tokens in them.
logging.getLogger("apprise").setLevel(logging.WARNING)
logging.getLogger("apprise").propagate = False
logging.getLogger("urllib3").setLevel(logging.INFO)
_ALONE = threading.Lock()
"""What Apprise says goes to one log, whoever asked."""
_TYPES = {
    "info": apprise.NotifyType.INFO,
    "warning": apprise.NotifyType.WARNING,
    "critical": apprise.NotifyType.FAILURE,
}


class AppriseSink:
    """Notifies by one or several of Apprise's addresses, separated by spaces or lines."""

    def __init__(self, settings: SinkSettings) -> None:
        self._settings = settings
        asset = apprise.AppriseAsset(storage_mode="memory", async_mode=False, app_id="Tidemill")
        self._services: list[Any] = []
        for address in settings.url.split():
            service = apprise.Apprise.instantiate(address, asset=asset, suppress_exceptions=True)
            if service is None:
                # The address is not shown: it holds a token.
                raise SinkFailed(
                    "Apprise cannot read one of the addresses.",
                    expected="addresses as https://appriseit.com describes them",
                )
            self._services.append(service)

    def send(self, message: Message) -> None:
        """Notify all of the addresses."""
        over = message.status == "resolved"
        kind = apprise.NotifyType.SUCCESS if over else _TYPES[message.severity]
        failed = [self._failure(s, message, kind) for s in self._services]
        said = [f for f in failed if f]
        if said:
            raise SinkFailed(f"Apprise could not deliver: {said[0]}")

    def _failure(self, service: Any, message: Message, kind: Any) -> str:
        """Notify one address, and return what went wrong."""
        host = getattr(service, "host", None)
        if isinstance(host, str) and host:
            try:
                port = getattr(service, "port", None) or 0
                check_host(host, port, allow_private=self._settings.allow_private)
            except TidemillError as error:
                raise type(error)(error.what, expected=error.expected, hint=error.hint) from None
        service.socket_connect_timeout = self._settings.timeout
        service.socket_read_timeout = self._settings.timeout
        listening: Any = apprise.LogCapture
        with _ALONE, listening(level=logging.WARNING, fmt="%(message)s") as log:
            done = service.notify(title=heading(message), body=body(message), notify_type=kind)
            said: str = log.getvalue().strip()
        if done:
            return ""
        return said.splitlines()[0] if said else "it did not say why."


def open_sink(settings: SinkSettings) -> Sink:
    """Open the sink."""
    return AppriseSink(settings)


PLUGIN = open_sink
