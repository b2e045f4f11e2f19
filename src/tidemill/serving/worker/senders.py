"""Who asks, as far as a request's headers say it: the same for each that repeats them."""

from __future__ import annotations

import msgspec


class Sender(msgspec.Struct, frozen=True):
    """What the headers say beside the body.

    Attributes:
        seconds: How long it waits for an answer.
        version: The version asked for.
        key: What the split goes by.
        request_id: The caller's name for the request.
        trace: The caller's trace, where it says one.
    """

    seconds: float
    version: str | None
    key: str | None
    request_id: str
    trace: str
