"""Moments as people write them."""

from __future__ import annotations

from datetime import UTC, datetime

from tidemill.server.operations.errors import BadArgument


def moment_of(name: str, text: str) -> datetime:
    """Read a day or a moment; UTC where it does not say otherwise."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise BadArgument(
            f"{name} is {text!r}.", expected="a day or a moment, such as 2026-03-01T12:00"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
