"""Content digests: SHA-256 as 64 hex digits, and the canonical JSON that records are hashed by."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

_DIGEST = re.compile(r"[0-9a-f]{64}")
_ENCODER = msgspec.json.Encoder(order="sorted")


def of_bytes(data: bytes | bytearray | memoryview) -> str:
    """Return the digest of bytes.

    Example:
        >>> of_bytes(b"")[:8]
        'e3b0c442'
    """
    return hashlib.sha256(data).hexdigest()


def of_record(record: Any) -> str:
    """Return the digest of a record's canonical JSON; the order of keys does not matter.

    Example:
        >>> of_record({"a": 1, "b": 2}) == of_record({"b": 2, "a": 1})
        True
    """
    return of_bytes(canonical(record))


def canonical(record: Any) -> bytes:
    """Return compact JSON with sorted keys."""
    return _ENCODER.encode(record)


def is_digest(text: str) -> bool:
    """Tell whether `text` has the form of a digest."""
    return _DIGEST.fullmatch(text) is not None
