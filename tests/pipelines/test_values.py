"""What a step returns is what the next one gets."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tidemill.pipelines.values import load_value, store_value
from tidemill.storage.blobs.local import LocalBlobs


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
