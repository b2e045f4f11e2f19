"""What a step returns is what the next one gets."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pytest

from tidemill.pipelines.values import load_value, store_value
from tidemill.storage.blobs.local import LocalBlobs


class Found(msgspec.Struct, frozen=True):
    """A record, as a step may return one."""

    score: float
    limit: float | None = None
    other: Any = None


@dataclass(frozen=True)
class Fit:
    """The same as a dataclass."""

    score: float


class Pair(NamedTuple):
    """The same as a tuple with names."""

    score: float


class Side(StrEnum):
    """A name that is more than text."""

    LEFT = "left"


@pytest.mark.parametrize(
    "value",
    [
        Found(0.5, limit=2.0, other=[1, {"a": None}]),
        Found(math.inf, limit=-math.inf),
        Found(0.5, other=(1, 2)),
        Found(0.5, other={1: 2}),
        Found(0.5, other=b"bytes"),
        Found(0.5, other=1 << 80),
        Fit(math.inf),
        Pair(math.inf),
        [Found(math.inf)],
        Side.LEFT,
        1 << 80,
        OrderedDict(b=1, a=2),
        np.float64(1.5),
        "\ud800",
    ],
)
def test_a_record_comes_back_as_it_went(value: Any, blobs: LocalBlobs, tmp_path: Path) -> None:
    stored = store_value(blobs, value)
    found = load_value(blobs, stored, tmp_path)
    assert found == value
    assert type(found) is type(value)
    assert store_value(blobs, value) == stored
    if isinstance(value, Found):
        assert type(found.other) is type(value.other)


@pytest.mark.parametrize(
    "value",
    [Found(math.nan), Found(0.5, limit=math.nan), Found(0.5, other=[math.nan]), Fit(math.nan)],
)
def test_a_record_keeps_what_is_not_a_number(value: Any, blobs: LocalBlobs, tmp_path: Path) -> None:
    stored = store_value(blobs, value)
    assert repr(load_value(blobs, stored, tmp_path)) == repr(value)
    assert store_value(blobs, value) == stored


def test_a_record_of_a_function_comes_back(blobs: LocalBlobs, tmp_path: Path) -> None:
    class Local(msgspec.Struct):
        score: float

    assert load_value(blobs, store_value(blobs, Local(0.5)), tmp_path) == Local(0.5)


@pytest.mark.parametrize(
    "value",
    [None, True, 0, 1.5, "ü", [1, None], {"a": [None, 1.5]}, (None, "a"), math.inf, {1: 2}, {2}],
)
def test_a_value_comes_back_as_it_went(value: object, blobs: LocalBlobs, tmp_path: Path) -> None:
    stored = store_value(blobs, value)
    assert load_value(blobs, stored, tmp_path) == value
    assert store_value(blobs, value) == stored


@pytest.mark.parametrize("value", [math.nan, [math.nan], {"a": math.nan}])
def test_what_is_not_a_number_comes_back(value: object, blobs: LocalBlobs, tmp_path: Path) -> None:
    assert repr(load_value(blobs, store_value(blobs, value), tmp_path)) == repr(value)
