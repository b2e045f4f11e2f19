"""Signs messages as MLflow does, which is nearly as Standard Webhooks do."""

from __future__ import annotations

import base64
import hashlib
import hmac
import uuid
from datetime import datetime

ID, TIME, SIGNATURE = "X-MLflow-Delivery-Id", "X-MLflow-Timestamp", "X-MLflow-Signature"


def headers(secret: str, identifier: str, now: datetime, body: str) -> dict[str, str]:
    """Return a message's headers; it is signed where there is a secret.

    The id is the same each time that a message is sent, so that a receiver can tell.
    """
    delivery, stamp = str(uuid.UUID(identifier)), str(int(now.timestamp()))
    known = {"Content-Type": "application/json", ID: delivery, TIME: stamp}
    return known | ({SIGNATURE: signature(secret, delivery, stamp, body)} if secret else {})


def signature(secret: str, delivery: str, stamp: str, body: str) -> str:
    """Return the signature of a message: HMAC-SHA256 of its id, its time and its text.

    Reference:
        https://www.standardwebhooks.com, but for the secret, which is used as it is.

    Example:
        >>> signature("s", "d", "1", "{}")
        'v1,IU+2+KHu4+2P4cNMuwvd3lx0u3yUZ/KaEHscpFOsm4Y='
    """
    signed = hmac.new(secret.encode(), f"{delivery}.{stamp}.{body}".encode(), hashlib.sha256)
    return f"v1,{base64.b64encode(signed.digest()).decode()}"
