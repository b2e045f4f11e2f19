"""Ids that say that their request was left out of the log, so that an id alone tells why nothing is
found.

Part of the hot path. `identity.py` leaves the bits free.
"""

from __future__ import annotations

_FLAG = 1 << 60
_PATTERN = 0xD7 << 20
_CHANCE = 0xFF << 20
_ROWS = 0xFFFFF
"""The bits that count the rows of a request."""


def unlogged(number: int) -> int:
    """Return what the ids of a request are made of, marked as one that the log does not have.

    Args:
        number: What they would be made of otherwise.

    Example:
        >>> f"{unlogged(0x8123456789ABCDEF):016x}"
        '912345678d700000'
    """
    return number & ~(_CHANCE | _ROWS) | _FLAG | _PATTERN


def is_logged(number: int) -> bool:
    """Whether the ids that are made of a number are of a request that is logged."""
    return not number & _FLAG


def is_unlogged(identifier: str) -> bool:
    """Whether an id says that its request was left out of the log.

    Example:
        >>> is_unlogged("0192f4c1a2b37def912345678d7bcdef"), is_unlogged("42")
        (True, False)
    """
    try:
        value = int(identifier, 16)
    except ValueError:
        return False
    marked = value & (_CHANCE | _FLAG) == _FLAG | _PATTERN
    return len(identifier) == 32 and marked
