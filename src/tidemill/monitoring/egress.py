"""The guarded way out: requests to addresses that people have given.

A name is resolved once and the connection goes to the address that was checked, so that a name
which answers otherwise the second time gains nothing. Redirects are not followed, proxies of the
environment are not used, and size and time of an answer are limited.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

import msgspec

from tidemill.monitoring.alerts.errors import ForbiddenAddress, SinkFailed

_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""What a translator makes of IPv4 addresses (RFC 6052)."""
MOST_BYTES = 64 * 1024
"""How much of an answer is read."""


class Answer(msgspec.Struct, frozen=True):
    """What came back.

    Attributes:
        status: The HTTP status.
        body: The beginning of the body.
    """

    status: int
    body: bytes


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
    parts = _split(url)
    deadline = time.monotonic() + timeout
    port = parts.port or (443 if parts.scheme == "https" else 80)
    assert parts.hostname is not None
    connection = http.client.HTTPConnection(parts.hostname, port, timeout=timeout)
    try:
        connection.sock = _connected(parts, port, deadline, allow_private=allow_private)
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        host = parts.netloc.rpartition("@")[2]
        connection.request("POST", path, body, {**headers, "Host": host})
        return _answer(connection, deadline)
    except (OSError, http.client.HTTPException, ssl.SSLError) as error:
        raise SinkFailed(f"{parts.hostname} does not answer: {_said(error)}.") from error
    finally:
        connection.close()


def check_host(host: str, port: int, *, allow_private: bool) -> list[str]:
    """Resolve a name and return its addresses, all of which may be reached.

    Raises:
        ForbiddenAddress: One of them may not be.
        SinkFailed: The name is not known.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise SinkFailed(f"The name {host!r} is not known: {_said(error)}.") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    for address in addresses:
        if not allow_private and not _is_public(address):
            raise ForbiddenAddress(
                f"{host} is {address}, an address of this machine or a private network.",
                expected="a public address",
                hint="If that is meant, set allow_private = true for the sink.",
            )
    return addresses


def _is_public(text: str) -> bool:
    """Tell whether an address is of the public internet, however it is written.

    Example:
        >>> _is_public("93.184.216.34"), _is_public("::ffff:127.0.0.1"), _is_public("fe80::1%eth0")
        (True, False, False)
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return _is_public(str(inner))
    return address.is_global and not address.is_multicast


def _connected(
    parts: SplitResult, port: int, deadline: float, *, allow_private: bool
) -> socket.socket:
    assert parts.hostname is not None
    addresses = check_host(parts.hostname, port, allow_private=allow_private)
    failure: OSError | None = None
    for address in addresses:
        try:
            opened = socket.create_connection((address, port), _left(deadline))
            break
        except OSError as error:
            failure = error
    else:
        assert failure is not None
        raise failure
    if parts.scheme != "https":
        return opened
    return ssl.create_default_context().wrap_socket(opened, server_hostname=parts.hostname)


def _answer(connection: http.client.HTTPConnection, deadline: float) -> Answer:
    connection.sock.settimeout(_left(deadline))
    answer = connection.getresponse()
    body = b""
    while len(body) < MOST_BYTES and not answer.isclosed():
        if connection.sock is not None:
            connection.sock.settimeout(_left(deadline))
        part = answer.read1(MOST_BYTES - len(body))
        if not part:
            break
        body += part
    return Answer(answer.status, body)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the time is up")
    return left


def _split(url: str) -> SplitResult:
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
    return parts


def _said(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
