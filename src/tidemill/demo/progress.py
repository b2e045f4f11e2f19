"""Where the replay is, as the live view shows it."""

from __future__ import annotations

from datetime import date

import msgspec


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """The state of the replay at the end of a day.

    Attributes:
        number: The day's number, from 1.
        day: The day.
        live: The live version.
        traffic: How traffic is split, in words.
        predictions: How many were answered so far.
        quality: The newest window's AUC, where there is one.
        new_window: Whether that window was judged today.
    """

    number: int
    day: date
    live: str
    traffic: str
    predictions: int
    quality: float | None
    new_window: bool
