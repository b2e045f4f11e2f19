"""Posts alerts as signed JSON, by the Standard Webhooks specification.

Any of its libraries verifies the messages: `webhook-id` is the key by which repetitions are told,
`webhook-signature` the HMAC-SHA256 of id, time and body. See https://www.standardwebhooks.com.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from typing import Any

import msgspec

from tidemill.monitoring.alerts.errors import SinkFailed
from tidemill.monitoring.alerts.protocol import Sink, SinkSettings
from tidemill.monitoring.alerts.records import Message
from tidemill.monitoring.egress import post

_PREFIX = "whsec_"


class WebhookSink:
    """Posts to one address."""

    def __init__(self, settings: SinkSettings) -> None:
        self._settings = settings
        self._key = key_of(settings.secret) if settings.secret else None

    def send(self, message: Message) -> None:
        """Post a message; any 2xx is taken as a receipt."""
        body = msgspec.json.encode(content(message))
        now = str(int(time.time()))
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "tidemill",
            "webhook-id": message.id,
            "webhook-timestamp": now,
            "Idempotency-Key": message.id,
        }
        if self._key is not None:
            headers["webhook-signature"] = signature(self._key, message.id, now, body)
        answer = post(
            self._settings.url,
            body,
            headers,
            timeout=self._settings.timeout,
            allow_private=self._settings.allow_private,
        )
        if not 200 <= answer.status < 300:
            raise SinkFailed(f"It answered with status {answer.status}.", expected="200 to 299")


def content(message: Message) -> dict[str, Any]:
    """Return what is posted."""
    return {
        "type": f"alert.{message.status}",
        "timestamp": message.time,
        "data": message,
    }


def signature(key: bytes, identifier: str, moment: str, body: bytes) -> str:
    """Return the signature of a message.

    Reference: the worked example of the Standard Webhooks specification.

    Example:
        >>> signature(key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        ...           "msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330", b'{"test": 2432232314}')
        'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = f"{identifier}.{moment}.".encode() + body
    digest = hmac.new(key, signed, hashlib.sha256).digest()
    return f"v1,{base64.b64encode(digest).decode()}"


def key_of(secret: str) -> bytes:
    """Return the key of a secret: base64 after `whsec_`, or else the text itself."""
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
    except binascii.Error as error:
        raise SinkFailed(
            "The secret begins with whsec_ and is not base64 after it.",
            expected="whsec_ and base64, or any other text",
        ) from error


def open_sink(settings: SinkSettings) -> Sink:
    """Open the sink."""
    return WebhookSink(settings)


PLUGIN = open_sink
