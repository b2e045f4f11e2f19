"""The contract of flavors, over every flavor that is found."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tidemill.models.packing import FLAVORS
from tidemill.testing.flavors import FlavorContract, FlavorExample

from . import examples

EXAMPLES: list[Callable[[], FlavorExample]] = [
    examples.sklearn_binary,
    examples.sklearn_multiclass,
    examples.sklearn_regression,
    examples.sklearn_without_twin,
    examples.python_function,
    examples.python_object,
    examples.onnx_regression,
    examples.onnx_multiclass,
]


class TestFlavors(FlavorContract):
    @pytest.fixture(params=EXAMPLES, ids=lambda f: f.__name__)
    def example(self, request: pytest.FixtureRequest) -> FlavorExample:
        found: FlavorExample = request.param()
        return found


def test_every_flavor_has_an_example() -> None:
    assert {make().flavor for make in EXAMPLES} >= {"onnx", "python", "sklearn"}
    assert {make().flavor for make in EXAMPLES} <= set(FLAVORS.names())
