"""The error tree's root and its categories.

Each room adds one branch (`class TrackingError(TidemillError)`) and a leaf for every situation
that a caller could treat differently; a leaf also inherits the category that says what kind of
trouble it is (`class RunNotFound(TrackingError, NotFound)`). Doors translate categories into exit
codes and HTTP statuses; nothing below a door knows either.

    TidemillError
    ├── Usage          the request itself is wrong
    ├── NotFound       it names something that is not there
    ├── Conflict       it cannot be done in the present state
    ├── InvalidData    data or a file breaks what was promised of it
    ├── Findings       it was done, and the verdict is no
    ├── Refused        a policy or a permission forbids it
    ├── Busy           try again later
    ├── OutOfSpace     the disk is full
    └── UserCodeFailed the user's own function failed
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class TidemillError(Exception):
    """Something went wrong, said in three parts.

    Args:
        what: What happened, with the value.
        expected: What was expected, with the nearest known names.
        hint: What to type or do next.
    """

    def __init__(self, what: str, *, expected: str = "", hint: str = "") -> None:
        super().__init__(what, expected, hint)
        self.what = what
        self.expected = expected
        self.hint = hint

    def __str__(self) -> str:
        parts = [self.what]
        if (self.expected or self.hint) and not self.what.endswith((".", "?", "!", ":")):
            parts[0] += "."
        if self.expected:
            parts.append(f"Expected {self.expected}.")
        if self.hint:
            parts.append(self.hint)
        return " ".join(parts)

    @property
    def code(self) -> str:
        """The situation in SCREAMING_SNAKE, as the JSON error shape carries it."""
        name = type(self).__name__
        return "".join(f"_{c}" if c.isupper() and i else c for i, c in enumerate(name)).upper()


class Usage(TidemillError):
    """The request itself is wrong: a bad value, an unknown name, excluding options."""


class NotFound(TidemillError):
    """The request names something that is not there."""


class Conflict(TidemillError):
    """The request cannot be done in the present state."""


class InvalidData(TidemillError):
    """Data or a file breaks what was promised of it."""


class Findings(TidemillError):
    """The work was done and its verdict is no: a gate failed, drift was found."""


class Refused(TidemillError):
    """A policy or a permission forbids it."""


class Busy(TidemillError):
    """The system is at its limit or owned by another process; try again."""


class OutOfSpace(TidemillError):
    """The disk is full or nearly so; reads still work."""


class UserCodeFailed(TidemillError):
    """The user's own function raised, or gave back something that cannot be used."""


class BadReference(Usage):
    """A reference such as `model:flight-delay@7` could not be read."""


class MissingExtra(Usage):
    """A library that an optional part needs is not installed."""


class UnknownPlugin(Usage):
    """No plugin of that name and kind is installed."""


def nearest(name: str, known: Iterable[str], *, most: int = 3) -> str:
    """Say which known names are close to one that was not found.

    Example:
        >>> nearest("rocauc", ["roc_auc", "f1", "log_loss"])
        "'roc_auc'"
        >>> nearest("zzz", ["b", "a"])
        "one of 'a', 'b'"
        >>> nearest("x", [])
        'nothing: there is none yet'
    """
    names = sorted(known)
    if not names:
        return "nothing: there is none yet"
    close = difflib.get_close_matches(name, names, n=most, cutoff=0.6)
    if close:
        return " or ".join(repr(c) for c in close)
    shown = ", ".join(repr(n) for n in names[:8])
    return f"one of {shown}" + (", …" if len(names) > 8 else "")
