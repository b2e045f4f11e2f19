"""What `redact` says of a column: `NAME`, `NAME: hash` or `NAME: truncate 3`."""

from __future__ import annotations

import re
from typing import Literal

import msgspec

ACTIONS = ("NAME", "NAME: hash", "NAME: truncate 3")
_RULE = re.compile(r"(?P<column>.+?):\s*(?P<action>\w+)(?:\s+(?P<length>\d{1,6}))?\s*", re.DOTALL)


class Redact(msgspec.Struct, frozen=True):
    """What becomes of a column before it reaches the log.

    Attributes:
        column: Its name.
        action: `drop`: it does not. `hash`: a keyed hash does, equal for equal values. `truncate`:
            the first letters do.
        length: How many letters.
    """

    column: str
    action: Literal["drop", "hash", "truncate"] = "drop"
    length: int = 0


def read_redaction(text: str) -> Redact | None:
    """Return what a rule says, or nothing where it says nothing sensible.

    Example:
        >>> read_redaction("name"), read_redaction("zip: truncate 3")
        (Redact(column='name', action='drop', length=0), \
Redact(column='zip', action='truncate', length=3))
        >>> read_redaction("name: hush")
    """
    found = _RULE.fullmatch(text)
    if found is None:
        return Redact(text) if text.strip() else None
    column, action, length = found["column"], found["action"], found["length"]
    if action == "hash" and length is None:
        return Redact(column, "hash")
    if action == "truncate" and length is not None:
        return Redact(column, "truncate", int(length))
    return None
