"""Durations and sizes as people write them."""

from __future__ import annotations

import math
import re

from tidemill.core.policy.records import SIZES, UNITS

_SIZE = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(SIZES)})")
_DURATION = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})")


def duration(value: object) -> float | None:
    """Return seconds, from a number of them or from text such as `"90m"`; else nothing.

    Example:
        >>> duration("7d"), duration("1.5h"), duration(30), duration("soon")
        (604800.0, 5400.0, 30.0, None)
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) and value >= 0 else None
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        return None
    seconds = float(match[1]) * UNITS[match[2]]
    return seconds if math.isfinite(seconds) else None


def size(value: object) -> int | None:
    """Return bytes, from a number of them or from text such as `"10GB"`; else nothing.

    Example:
        >>> size("10GB"), size("1.5MB"), size(30), size("large")
        (10000000000, 1500000, 30, None)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value > 0 else None
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    return None if match is None else int(float(match[1]) * SIZES[match[2]])
