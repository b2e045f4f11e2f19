"""Posts to addresses that the policy names, and says what is wrong without showing a secret."""

from __future__ import annotations

import http.client
from collections.abc import Mapping
from urllib.parse import urlsplit

from tidemill.core import egress
from tidemill.core.egress import PORTS, Answer, Place, addresses_of, is_public
from tidemill.monitoring.alerts.errors import ForbiddenAddress, SinkFailed


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    *,
    timeout: float,
    allow_private: bool,
) -> Answer:
    """Send a request and return the answer, whatever its status.

    Args:
        url: Where.
        body: What.
        headers: The headers besides `Host` and `Content-Length`.
        timeout: How long all of it may take, in seconds.
        allow_private: Whether loopback and private addresses may be reached.

    Raises:
        ForbiddenAddress: The name is, or resolves to, an address that may not be reached.
        SinkFailed: There was no answer.
    """
    place = _place(url)
    addresses = check_host(place.host, place.port, allow_private=allow_private)
    try:
        return egress.post(place, addresses, body, headers, seconds=timeout)
    except (OSError, http.client.HTTPException) as error:
        raise SinkFailed(f"{place.host} does not answer: {_said(error)}.") from error


def check_host(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Resolve a name and return its addresses, all of which may be reached.

    Raises:
        ForbiddenAddress: One of them may not be.
        SinkFailed: The name is not known.
    """
    try:
        found = addresses_of(host, port)
    except (OSError, UnicodeError) as error:
        raise SinkFailed(f"The name {host!r} is not known: {_said(error)}.") from error
    for text, address in found.items():
        if not allow_private and not is_public(address):
            raise ForbiddenAddress(
                f"{host} is {text}, an address of this machine or a private network.",
                expected="a public address",
                hint="If that is meant, set allow_private = true for the sink.",
            )
    return list(found)


def _place(url: str) -> Place:
    # The address is not shown: it may hold a token.
    unusable = SinkFailed("The address cannot be used.", expected="http:// or https:// and a host")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise unusable from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or port == 0:
        raise unusable
    if any(c.isspace() or c < " " for c in url):
        raise unusable
    path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
    return Place(parts.scheme, parts.hostname, port or PORTS[parts.scheme], path)


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
