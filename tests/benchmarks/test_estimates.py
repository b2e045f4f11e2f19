"""How far estimates are from what came true."""

from __future__ import annotations

import pytest
from benchmarks.estimates.__main__ import distance


def test_only_windows_that_came_true_count_and_both_directions_do() -> None:
    told = {"2013-02-01": {"f1": 0.5}, "2013-03-01": {"f1": 0.1}, "2013-04-01": {"f1": 0.9}}
    true = {"2013-02-01": {"f1": 0.4}, "2013-03-01": {"f1": 0.3}}

    assert distance(told, true, "f1") == pytest.approx(0.15)
