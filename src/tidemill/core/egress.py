"""The guarded way out: one request to an address that somebody has given.

A name is resolved once and the connection goes to an address that was checked, so that a name which
answers otherwise the second time gains nothing. Redirects are not followed, proxies of the
environment are not used, and size and time of an answer are limited. Who may be reached is for the
rooms that send to say; they call `addresses_of` and `is_public`.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import time
from collections.abc import Mapping, Sequence

import msgspec

MOST_BYTES = 64 * 1024
"""How much of an answer is read."""
PORTS = {"https": 443, "http": 80}
Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""What a translator makes of IPv4 addresses (RFC 6052)."""


class Place(msgspec.Struct, frozen=True):
    """Where a request goes.

    Attributes:
        scheme: `https` or `http`.
        host: A name, or an address without brackets.
        port: The port.
        path: With the query.
    """

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The host as a request names it.

        Example:
            >>> Place("https", "::1", 8443, "/").authority
            '[::1]:8443'
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == PORTS[self.scheme] else f"{host}:{self.port}"


class Answer(msgspec.Struct, frozen=True):
    """What came back.

    Attributes:
        status: The HTTP status.
        body: The beginning of the body.
    """

    status: int
    body: bytes


def is_public(address: Address) -> bool:
    """Tell whether an address is one of the public internet, however it is wrapped.

    Example:
        >>> named = ("8.8.8.8", "::ffff:127.0.0.1", "64:ff9b::a00:1")
        >>> [is_public(ipaddress.ip_address(a)) for a in named]
        [True, False, False]
    """
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if inner is None and address in _TRANSLATED:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(inner)
    return address.is_global and not address.is_multicast


def addresses_of(host: str, port: int) -> dict[str, Address]:
    """Return the addresses that a host has now, as they are connected to and as they are checked.

    Raises:
        OSError: The name is not known.
        UnicodeError: It cannot be one.
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    texts = [str(entry[4][0]) for entry in found]
    return {text: ipaddress.ip_address(text.partition("%")[0]) for text in texts}


def post(
    place: Place,
    addresses: Sequence[str],
    body: bytes,
    headers: Mapping[str, str],
    *,
    seconds: float,
) -> Answer:
    """Send a request and return the answer, whatever its status.

    Args:
        place: Where.
        addresses: Its addresses, each of them checked; the first that answers is used.
        body: What.
        headers: The headers besides `Host` and `Content-Length`.
        seconds: How long all of it may take.

    Raises:
        OSError: There was no answer, or not in time.
        http.client.HTTPException: What answered does not speak HTTP.
    """
    deadline = time.monotonic() + seconds
    connection = http.client.HTTPConnection(place.host, place.port)
    try:
        connection.sock = _connect(place, addresses, deadline)
        connection.sock.settimeout(_left(deadline))
        connection.request("POST", place.path, body, {**headers, "Host": place.authority})
        connection.sock.settimeout(_left(deadline))
        answer = connection.getresponse()
        return Answer(answer.status, _beginning(answer, connection, deadline))
    finally:
        connection.close()


def _connect(place: Place, addresses: Sequence[str], deadline: float) -> socket.socket:
    failure: OSError | None = None
    for address in addresses:
        try:
            plain = socket.create_connection((address, place.port), _left(deadline))
        except OSError as error:
            failure = error
            continue
        if place.scheme == "http":
            return plain
        # The certificate must be of the name, whichever of its addresses this is.
        return ssl.create_default_context().wrap_socket(plain, server_hostname=place.host)
    raise failure or OSError("the host has no address")


def _beginning(
    answer: http.client.HTTPResponse, connection: http.client.HTTPConnection, deadline: float
) -> bytes:
    body = b""
    while len(body) < MOST_BYTES and not answer.isclosed():
        if connection.sock is not None:
            connection.sock.settimeout(_left(deadline))
        part = answer.read1(MOST_BYTES - len(body))
        if not part:
            break
        body += part
    return body


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the receiver took too long")
    return left
