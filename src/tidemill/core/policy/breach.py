"""What does not hold of a policy, and where it stands."""

from __future__ import annotations

import msgspec

Path = tuple[str, ...]


class Breach(msgspec.Struct, frozen=True):
    """One thing that does not hold.

    Attributes:
        path: Where it stands.
        what: What stands there, in the words of a sentence's end.
        expected: What should stand there.
    """

    path: Path
    what: str
    expected: str
