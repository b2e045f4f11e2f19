"""What a filter means, as a tree. Rooms turn it into bound parameters, never into text."""

from __future__ import annotations

from typing import Literal

import msgspec

Operator = Literal[
    "=",
    "!=",
    "<",
    "<=",
    ">",
    ">=",
    "LIKE",
    "ILIKE",
    "RLIKE",
    "IN",
    "NOT IN",
    "IS NULL",
    "IS NOT NULL",
]


class Comparison(msgspec.Struct, frozen=True):
    """One thing compared with a value.

    Attributes:
        kind: `metrics`, `params`, …, as written; empty for a bare name.
        key: Which metric, param, … or attribute.
        operator: How.
        value: With what: a tuple for `IN`, nothing for `IS NULL`.
    """

    kind: str
    key: str
    operator: Operator
    value: str | float | int | tuple[str | float | int, ...] | None = None


class Both(msgspec.Struct, frozen=True):
    """All parts hold."""

    parts: tuple[Node, ...]


class Either(msgspec.Struct, frozen=True):
    """At least one part holds."""

    parts: tuple[Node, ...]


class Negation(msgspec.Struct, frozen=True):
    """The part does not hold."""

    part: Node


Node = Comparison | Both | Either | Negation


class Order(msgspec.Struct, frozen=True):
    """By what results are ordered.

    Attributes:
        kind: As in `Comparison`.
        key: As in `Comparison`.
        descending: Whether the largest comes first.
    """

    kind: str
    key: str
    descending: bool = False
