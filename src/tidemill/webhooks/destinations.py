"""Where messages may go: to hosts that the owner of the home has named, and never inside.

A name may resolve to anything, also to something else a moment later. So an address is looked up
once, every address found is checked, and the connection is made to one of those. Only an address
that the owner wrote out as a number may be inside: who writes 127.0.0.1 means it.
"""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import SplitResult, urlsplit

from tidemill.core.egress import PORTS, Address, Place, addresses_of, is_public
from tidemill.webhooks.errors import BadWebhook, DestinationRefused

NONE, ANY = "none", "any"
LONGEST = 2000
_NAME = re.compile(r"(\*\.)?[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*")
_PRINTED = re.compile(r"[\x21-\x7e]+")


class Allowed:
    """The hosts that messages may be sent to.

    Args:
        text: `none`; `any`, which is every host outside; or hosts with commas between, each a
            name, `*.` and the end of names, or an address, with a port where only that one counts.

    Raises:
        BadWebhook: A host cannot be one.

    Example:
        >>> allowed = Allowed("*.example.com, 127.0.0.1:9000")
        >>> allowed.permits("hooks.example.com", 443), allowed.permits("127.0.0.1", 80)
        (True, False)
    """

    def __init__(self, text: str) -> None:
        parts = [part.strip().lower() for part in text.split(",")]
        self.text = ",".join(parts)
        self._any = parts == [ANY]
        self._entries = [] if parts in ([NONE], [ANY]) else [_entry(part) for part in parts]

    @property
    def nothing(self) -> bool:
        """Whether no message may be sent at all."""
        return not self._any and not self._entries

    def permits(self, host: str, port: int) -> bool:
        """Tell whether a host is named."""
        return self._any or any(_covers(entry, host, port) for entry in self._entries)

    def writes_out(self, host: str, port: int) -> bool:
        """Tell whether a host is an address that is named as such."""
        literal = _literal(host) is not None
        return literal and any(_covers(entry, host, port) for entry in self._entries)

    def place(self, url: str) -> Place:
        """Return what an address names, if messages may go there; no name is looked up.

        Raises:
            BadWebhook: It is no address of a web server.
            DestinationRefused: Its host is not allowed.
        """
        parts = _split(url)
        host = (parts.hostname or "").lower()
        port = parts.port or PORTS.get(parts.scheme, 0)
        inside = self.writes_out(host, port)
        schemes = ("https", "http") if inside else ("https",)
        if parts.scheme not in schemes:
            raise BadWebhook(
                f"Invalid webhook URL scheme: {parts.scheme!r}. Allowed schemes are: "
                f"{', '.join(schemes)}."
            )
        if self.nothing:
            raise DestinationRefused(
                "This server sends no webhooks.",
                expected="hosts that they may be sent to",
                hint="Name them: TIDEMILL_WEBHOOK_HOSTS=hooks.example.com tidemill up",
            )
        if not self.permits(host, port):
            raise DestinationRefused(
                f"This server sends no webhooks to {host}:{port}.", expected=self.text
            )
        literal = _literal(host)
        if literal is not None and not inside:
            _check_outside(host, literal)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return Place(parts.scheme, host, port, path)

    def resolve(self, place: Place) -> list[str]:
        """Return the addresses of a host, each of them one that may be connected to.

        Raises:
            DestinationRefused: One of them is inside.
            OSError: It has none.
        """
        if self.writes_out(place.host, place.port):
            return [place.host]
        found = addresses_of(place.host, place.port)
        for address in found.values():
            _check_outside(place.host, address)
        return list(found)


def _check_outside(host: str, address: Address) -> None:
    if not is_public(address):
        raise DestinationRefused(
            f"The host {host!r} is at {address}, which is inside.",
            expected="an address of the public internet, or one that is allowed as a number",
        )


def _split(url: str) -> SplitResult:
    if len(url) > LONGEST or not _PRINTED.fullmatch(url):
        raise BadWebhook(f"Invalid webhook URL {url[:200]!r}.", expected="a plain address")
    try:
        parts = urlsplit(url)
        known = parts.hostname, parts.port
    except ValueError as error:
        raise BadWebhook(f"Invalid webhook URL {url[:200]!r}: {error}.") from error
    if not known[0]:
        raise BadWebhook(f"Webhook URL must include a hostname: {url[:200]!r}")
    if parts.username is not None or "@" in parts.netloc or parts.fragment or "\\" in url:
        raise BadWebhook(
            f"Invalid webhook URL {url[:200]!r}.", expected="one without user, password and '#'"
        )
    if _literal(known[0]) is None and not _NAME.fullmatch(known[0].lower()):
        raise BadWebhook(f"Invalid webhook URL {url[:200]!r}: the host is no name.")
    if _literal(known[0]) is None and known[0].replace(".", "").isdigit():
        raise BadWebhook(
            f"Webhook URL host {known[0]!r} is not a canonical IP address literal.",
            expected="a name, or an address such as 192.0.2.1",
        )
    return parts


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _entry(text: str) -> tuple[str, int | None]:
    host, _, port = text.rpartition(":") if not text.endswith("]") else (text, "", "")
    if not host or (":" in host and not host.startswith("[")):
        host, port = text, ""
    host = host.strip("[]")
    numbered = port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536
    if not (numbered or not port) or (_literal(host) is None and not _NAME.fullmatch(host)):
        raise BadWebhook(
            f"Webhooks cannot be sent to {text!r}.",
            expected="none, any, or hosts with commas between, such as hooks.example.com",
            hint="The setting is webhook_hosts: `tidemill config show` says where it is from.",
        )
    return host, int(port) if port else None


def _covers(entry: tuple[str, int | None], host: str, port: int) -> bool:
    name, only = entry
    if only is not None and only != port:
        return False
    return host == name or (name.startswith("*.") and host.endswith(name[1:]))
