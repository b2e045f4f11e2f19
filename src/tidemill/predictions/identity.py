"""What a prediction's id tells: which request it belongs to, and what was given to a version whole.

Ids are UUIDv7, written as 32 hex digits. Of the bits that are free, the last five digits number the
rows of a request, and the three digits behind the `7` tell apart the answers of several versions to
one request: whoever leaves them out has what a shadow's answer shares with the answer that was
given. A request that named a key carries 24 bits of the key's hash, and says so in the first digit
of the second half. What is left is chance: 52 bits, and 28 beside a key.
"""

from __future__ import annotations

import hashlib
import random

import numpy as np

MOST_ROWS = 1 << 20
"""How many rows of one request are numbered apart."""
_ROW, _UNIT = 20, 24
_SHARED = 32 - _ROW // 4
_KEYED = 0b1010 << 60
_PLAIN = 0b1000 << 60
_SECOND_HALF = (1 << 64) - 1


def request_number(rng: random.Random, key: str | None) -> int:
    """Return what is chance in the ids of a request's answers.

    Args:
        rng: Where chance comes from.
        key: What the split goes by, where the request named it.

    Example:
        >>> f"{request_number(random.Random(0), None):x}"
        '6298f6d82c07cd00000'
    """
    if key is None:
        chance = rng.getrandbits(52)
        return (chance >> 40) << 64 | _PLAIN | (chance & 0xFF_FFFF_FFFF) << _ROW
    chance = rng.getrandbits(28)
    digest = hashlib.blake2b(key.encode("utf-8", "replace"), digest_size=_UNIT // 8).digest()
    unit = int.from_bytes(digest, "big")
    return (chance >> 16) << 64 | _KEYED | unit << 36 | (chance & 0xFFFF) << _ROW


def ids_of(time: int, version: int, number: int, count: int) -> str:
    """Return the ids of one version's answers to a request, with commas between.

    So they are told and kept; to part the ids of a thousand rows takes longer than to make them.

    Args:
        time: Of the request, in microseconds since 1970.
        version: The version.
        number: What `request_number` gave.
        count: How many rows.

    Example:
        >>> ids_of(1_000_000, 1, request_number(random.Random(0), None), 2)
        '0000000003e8762a8f6d82c07cd00000,0000000003e8762a8f6d82c07cd00001'
    """
    answer = ((number >> 64) + version) & 0xFFF
    high = (time // 1000 & 0xFFFF_FFFF_FFFF) << 16 | 0x7000 | answer
    low = number & _SECOND_HALF
    return numbered(f"{high:016x}{low:016x}", count)


def numbered(first: str, count: int) -> str:
    """Return the ids of the rows of a request, with commas between.

    Args:
        first: Of its first row.
        count: How many rows.

    Example:
        >>> numbered("0000000003e8762a8f6d82c07cd00000", 2)
        '0000000003e8762a8f6d82c07cd00000,0000000003e8762a8f6d82c07cd00001'
    """
    if count == 1:
        return first
    low = int(first[16:], 16)
    halves = np.empty((count, 2), dtype=">u8")
    halves[:, 0] = int(first[:16], 16)
    halves[:, 1] = np.arange(low, low + count, dtype=np.uint64)
    return halves.tobytes().hex(",", 16)


def first_of(ids: str) -> str:
    """Return the first of some ids."""
    return ids[:32]


def shared_part(identifier: str) -> str:
    """Return what an id has in common with those of the other rows of its request."""
    return identifier[:_SHARED]
