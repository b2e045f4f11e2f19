"""The contract of flavors, over every flavor that is found."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from tidemill.models.packing import FLAVORS, pack
from tidemill.testing.flavors import WHEN, FlavorContract, FlavorExample, contract_of

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
    examples.xgboost_binary,
    examples.xgboost_multiclass,
    examples.xgboost_poisson,
    examples.xgboost_stopped_early,
    examples.xgboost_booster,
    examples.lightgbm_binary,
    examples.lightgbm_multiclass,
    examples.lightgbm_categories,
    examples.lightgbm_forest,
    examples.catboost_binary,
    examples.catboost_multiclass,
    examples.catboost_regression,
    examples.catboost_poisson,
    examples.catboost_categories,
    examples.torch_binary,
    examples.torch_regression,
    examples.torch_without_twin,
]


class TestFlavors(FlavorContract):
    @pytest.fixture(params=EXAMPLES, ids=lambda f: f.__name__)
    def example(self, request: pytest.FixtureRequest) -> FlavorExample:
        found: FlavorExample = request.param()
        return found


def test_every_flavor_has_an_example() -> None:
    named = {make.__name__.partition("_")[0] for make in EXAMPLES}
    assert named == set(FLAVORS.names())


def test_boosted_trees_convert_inside_of_a_pipeline(tmp_path: Path) -> None:
    xgboost = pytest.importorskip("xgboost")
    rows = pl.DataFrame({"carrier": ["AA", "UA", "B6"] * 40, "temp": range(120)})
    encode = ColumnTransformer(
        [("c", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["carrier"])],
        remainder="passthrough",
    )
    model = make_pipeline(encode, xgboost.XGBRegressor(n_estimators=5, n_jobs=1))
    manifest = pack(
        model.fit(rows, rows["temp"] * 2.0),
        name="m",
        task="regression",
        contract=contract_of(rows),
        sample=rows,
        folder=tmp_path,
        created=WHEN,
    )
    assert manifest.flavor == "sklearn"
    assert manifest.twin, manifest.no_twin
