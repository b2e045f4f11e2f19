"""Values at ranks are those that sorting would have put there, however the values are spread."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from tidemill.datasets.ranks import ascending, values_at

_MANY = 60_000
_FINITE = st.floats(allow_nan=False, allow_infinity=False)


def _spreads() -> dict[str, NDArray[np.float64]]:
    rng = np.random.default_rng(7)
    normal = rng.normal(size=_MANY)
    return {
        "normal": normal,
        "over many magnitudes": rng.lognormal(0, 6, size=_MANY),
        "both signs, over many magnitudes": rng.standard_cauchy(_MANY) ** 5,
        "few values": rng.poisson(3, _MANY).astype(np.float64),
        "half of them zero": np.where(rng.random(_MANY) < 0.5, 0.0, normal),
        "zeros of both signs": np.where(rng.random(_MANY) < 0.5, -0.0, np.abs(normal)),
        "moments": rng.integers(1_700_000_000_000_000, 1_700_000_900_000_000, _MANY) * 1.0,
        "one value": np.full(_MANY, 3.5),
        "one far away": np.append(normal[1:], 1e300),
        "as wide as numbers go": rng.uniform(-1.0, 1.0, _MANY) * 1.7e308,
        "as narrow as numbers go": rng.integers(0, 9, _MANY) * 5e-324,
        "sample unlike the rest": np.where(np.arange(_MANY) % 14, normal, 1e9 + normal),
        "in order": np.sort(normal),
        "every other one, in memory": np.repeat(normal, 2)[::2],
    }


@pytest.mark.parametrize("spread", _spreads())
@pytest.mark.parametrize("many", [1, 100, 4096])
def test_values_at_ranks_are_those_of_the_sorted_whole(spread: str, many: int) -> None:
    values = _spreads()[spread]
    ranks = np.unique(np.linspace(0, len(values) - 1, many).astype(np.int64))
    assert values_at(values, ranks).tolist() == np.sort(values)[ranks].tolist()


@given(arrays(np.float64, st.integers(1, 300), elements=_FINITE), st.data())
def test_ranks_of_few_values_are_found_too(
    values: NDArray[np.float64], data: st.DataObject
) -> None:
    places = st.integers(0, len(values) - 1)
    ranks = np.array(sorted(data.draw(st.sets(places, min_size=1, max_size=8))))
    assert values_at(values, ranks).tolist() == np.sort(values)[ranks].tolist()


def test_missing_values_stand_last() -> None:
    found = ascending(np.array([np.nan, 1.0, np.inf, -np.inf]))
    assert found[:3].tolist() == [-np.inf, 1.0, np.inf]
    assert np.isnan(found[3])
