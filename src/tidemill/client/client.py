"""The operations of a home, wherever its owner is: one call, two transports."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import msgspec

from tidemill.core.errors import Busy, NotFound, TidemillError
from tidemill.storage.lock import read_owner


class Unreachable(Busy):
    """The home's owner does not answer."""


class RemoteError(TidemillError):
    """The owner answered with an error; its code is the owner's."""

    def __init__(self, status: int, code: str, what: str, expected: str, hint: str) -> None:
        super().__init__(what, expected=expected, hint=hint)
        self.status = status
        self._code = code

    @property
    def code(self) -> str:
        return self._code


class RemoteNotFound(RemoteError, NotFound):
    """The owner answered that what was named is not there."""


def remote_error(status: int, code: str, what: str, expected: str, hint: str) -> RemoteError:
    """Return an owner's error, of the category that its status stands for."""
    kind = RemoteNotFound if status == 404 else RemoteError
    return kind(status, code, what, expected.removesuffix("."), hint)


class Transport(Protocol):
    """Carries a call to an operation and brings back what it returned, as JSON."""

    def call(self, name: str, arguments: dict[str, Any], *, post: bool) -> bytes:
        """Call an operation.

        Raises:
            TidemillError: Whatever the operation raises.
        """
        ...


class HttpTransport:
    """Speaks to the owner of a home.

    Args:
        address: Where it answers.
    """

    def __init__(self, address: str) -> None:
        import httpx

        self._http = httpx.Client(base_url=address, timeout=60.0)

    def call(self, name: str, arguments: dict[str, Any], *, post: bool) -> bytes:
        import httpx

        known = {k: v for k, v in arguments.items() if v is not None}
        try:
            if post:
                answer = self._http.post(f"/api/{name}", content=msgspec.json.encode(known))
            else:
                answer = self._http.get(f"/api/{name}", params=known)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"The owner of the home does not answer: {error}.",
                hint="Is `tidemill up` still running?",
            ) from error
        if answer.status_code >= 400:
            body = msgspec.json.decode(answer.content)["error"]
            raise remote_error(
                answer.status_code, body["code"], body["message"], body["expected"], body["hint"]
            )
        return answer.content

    def close(self) -> None:
        """Let go of the connection."""
        self._http.close()


def owner_address(home: Path) -> str | None:
    """Return where a home's owner answers, or nothing where nobody owns it or it does not."""
    owner = read_owner(home)
    return owner.address if owner else None
