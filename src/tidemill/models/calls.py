"""One call of a model, wherever it runs. Part of the hot path: nothing imported but msgspec."""

from __future__ import annotations

import msgspec


class Call(msgspec.Struct, frozen=True):
    """One call of a model, with the rows of one request or of many.

    Attributes:
        began: When, in seconds of the monotonic clock.
        seconds: How long it took.
    """

    began: float
    seconds: float
