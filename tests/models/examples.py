"""Fitted models of every flavor."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, SplineTransformer

from tidemill.testing.flavors import FlavorExample

CUT = 60


def _frame(data: Any) -> tuple[pl.DataFrame, pl.Series]:
    names = [f"f{i}" for i in range(data.data.shape[1])]
    order = np.random.default_rng(0).permutation(len(data.data))
    return pl.DataFrame(data.data[order], schema=names), pl.Series(data.target[order])


@cache
def sklearn_binary() -> FlavorExample:
    x, y = _frame(load_breast_cancer())
    model = HistGradientBoostingClassifier(max_iter=5).fit(x[CUT:], y[CUT:] == 1)
    return FlavorExample("sklearn", model, "binary", x[:CUT])


@cache
def sklearn_multiclass() -> FlavorExample:
    x, y = _frame(load_wine())
    x = x.with_columns(kind=pl.Series(["a", "b", None] * 60)[: len(x)])
    names = np.array(["red", "rose", "white"])[y.to_numpy()]
    encode = ColumnTransformer(
        [("k", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["kind"])],
        remainder="passthrough",
    )
    model = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=5))
    return FlavorExample("sklearn", model.fit(x[CUT:], names[CUT:]), "multiclass", x[:CUT])


@cache
def sklearn_regression() -> FlavorExample:
    x, y = _frame(load_diabetes())
    model = HistGradientBoostingRegressor(max_iter=5).fit(x[CUT:], y[CUT:])
    return FlavorExample("sklearn", model, "regression", x[:CUT])


@cache
def sklearn_without_twin() -> FlavorExample:
    x, y = _frame(load_diabetes())
    model = make_pipeline(SplineTransformer(), Ridge()).fit(x[CUT:], y[CUT:])
    return FlavorExample("sklearn", model, "regression", x[:CUT], twin=False)


@cache
def python_function() -> FlavorExample:
    x, _ = _frame(load_diabetes())

    def double(rows: pl.DataFrame) -> pl.Series:
        return rows["f0"] * 2

    return FlavorExample("python", double, "regression", x[:CUT], twin=False)


class Coin:
    """A classifier of no framework."""

    classes_ = np.array(["heads", "tails"])

    def predict_proba(self, rows: pl.DataFrame) -> Any:
        return 1 / (1 + np.exp(-rows["f0"].fill_null(0).to_numpy()))


@cache
def python_object() -> FlavorExample:
    x, _ = _frame(load_diabetes())
    return FlavorExample("python", Coin(), "binary", x[:CUT], twin=False)


def _linear_graph(inputs: list[Any], nodes: list[Any], width: int, name: str) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        inputs,
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, width])],
        [
            helper.make_tensor("w", TensorProto.FLOAT, [2, width], np.arange(2.0 * width)),
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def _plane() -> pl.DataFrame:
    return pl.DataFrame({"a": np.linspace(-1, 1, 30), "b": np.linspace(2, 5, 30)})


@cache
def onnx_regression() -> FlavorExample:
    take = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])
    model = _linear_graph([take], [helper.make_node("MatMul", ["x", "w"], ["y"])], 1, "y")
    return FlavorExample("onnx", model, "regression", _plane())


@cache
def onnx_multiclass() -> FlavorExample:
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [None, 1]) for n in "ba"]
    nodes = [
        helper.make_node("Concat", ["a", "b"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["raw"]),
        helper.make_node("Softmax", ["raw"], ["probabilities"], axis=1),
    ]
    model = _linear_graph(inputs, nodes, 3, "probabilities")
    entry = model.metadata_props.add()
    entry.key, entry.value = "classes", '["low","mid","high"]'
    return FlavorExample("onnx", model, "multiclass", _plane())


@cache
def xgboost_binary() -> FlavorExample:
    xgboost = pytest.importorskip("xgboost")
    x, y = _frame(load_breast_cancer())
    model = xgboost.XGBClassifier(n_estimators=8, n_jobs=1).fit(x[CUT:], y[CUT:])
    return FlavorExample("xgboost", model, "binary", x[:CUT])


@cache
def xgboost_multiclass() -> FlavorExample:
    xgboost = pytest.importorskip("xgboost")
    x, y = _frame(load_wine())
    x = x.with_columns(pl.when(pl.int_range(pl.len()) % 5 > 0).then("f0").alias("f0"))
    model = xgboost.XGBClassifier(n_estimators=5, n_jobs=1).fit(x[CUT:], y[CUT:])
    return FlavorExample("xgboost", model, "multiclass", x[:CUT])


@cache
def xgboost_poisson() -> FlavorExample:
    xgboost = pytest.importorskip("xgboost")
    x, y = _frame(load_diabetes())
    model = xgboost.XGBRegressor(n_estimators=8, n_jobs=1, objective="count:poisson")
    return FlavorExample("xgboost", model.fit(x[CUT:], y[CUT:]), "regression", x[:CUT])


@cache
def xgboost_stopped_early() -> FlavorExample:
    xgboost = pytest.importorskip("xgboost")
    x, y = _frame(load_diabetes())
    model = xgboost.XGBRegressor(n_estimators=200, n_jobs=1, early_stopping_rounds=3)
    model.fit(x[CUT:], y[CUT:], eval_set=[(x[:CUT], y[:CUT])], verbose=False)
    return FlavorExample("xgboost", model, "regression", x[:CUT])


@cache
def xgboost_booster() -> FlavorExample:
    xgboost = pytest.importorskip("xgboost")
    x, y = _frame(load_breast_cancer())
    data = xgboost.DMatrix(x[CUT:].to_numpy(), y[CUT:].to_numpy(), feature_names=x.columns)
    model = xgboost.train({"objective": "binary:logistic", "nthread": 1}, data, 5)
    return FlavorExample("xgboost", model, "binary", x[:CUT])


@cache
def lightgbm_binary() -> FlavorExample:
    lightgbm = pytest.importorskip("lightgbm")
    x, y = _frame(load_breast_cancer())
    names = np.array(["bad", "good"])[y.to_numpy()]
    model = lightgbm.LGBMClassifier(n_estimators=8, n_jobs=1, verbose=-1)
    return FlavorExample("lightgbm", model.fit(x[CUT:].to_numpy(), names[CUT:]), "binary", x[:CUT])


@cache
def lightgbm_multiclass() -> FlavorExample:
    lightgbm = pytest.importorskip("lightgbm")
    x, y = _frame(load_wine())
    x = x.with_columns(pl.when(pl.int_range(pl.len()) % 5 > 0).then("f0").alias("f0"))
    model = lightgbm.LGBMClassifier(n_estimators=5, n_jobs=1, verbose=-1)
    return FlavorExample(
        "lightgbm", model.fit(x[CUT:].to_numpy(), y[CUT:].to_numpy()), "multiclass", x[:CUT]
    )


@cache
def lightgbm_categories() -> FlavorExample:
    lightgbm = pytest.importorskip("lightgbm")
    x, y = _frame(load_diabetes())
    x = x.with_columns(f1=pl.int_range(pl.len()) % 17).with_columns(pl.col("f1").cast(pl.Float64))
    y = y + (x["f1"] % 3) * 100
    model = lightgbm.LGBMRegressor(
        n_estimators=20, n_jobs=1, verbose=-1, min_data_per_group=1, cat_smooth=1
    )
    model.fit(x[CUT:].to_numpy(), y[CUT:].to_numpy(), categorical_feature=[1])
    return FlavorExample("lightgbm", model, "regression", x[:CUT])


@cache
def lightgbm_forest() -> FlavorExample:
    lightgbm = pytest.importorskip("lightgbm")
    x, y = _frame(load_diabetes())
    options = {"objective": "regression", "boosting": "rf", "bagging_freq": 1, "verbose": -1}
    data = lightgbm.Dataset(x[CUT:].to_numpy(), y[CUT:].to_numpy())
    model = lightgbm.train({**options, "bagging_fraction": 0.7, "num_threads": 1}, data, 6)
    return FlavorExample("lightgbm", model, "regression", x[:CUT])


def _catboost(kind: str, **options: Any) -> Any:
    catboost = pytest.importorskip("catboost")
    quiet = {"iterations": 8, "depth": 3, "thread_count": 1, "allow_writing_files": False}
    return getattr(catboost, kind)(**(quiet | {"verbose": False} | options))


def _with_holes(rows: pl.DataFrame) -> pl.DataFrame:
    holes = pl.Series([None, 1.0, 1.0] * len(rows))[: len(rows)]
    return rows.with_columns(pl.col("f0") * holes)


@cache
def catboost_binary() -> FlavorExample:
    x, y = _frame(load_breast_cancer())
    x = _with_holes(x)
    model = _catboost("CatBoostClassifier").fit(x[CUT:].to_numpy(), y[CUT:].to_numpy() == 1)
    return FlavorExample("catboost", model, "binary", x[:CUT])


@cache
def catboost_multiclass() -> FlavorExample:
    x, y = _frame(load_wine())
    model = _catboost("CatBoostClassifier", grow_policy="Lossguide")
    model.fit(x[CUT:].to_numpy(), y[CUT:].to_numpy())
    return FlavorExample("catboost", model, "multiclass", x[:CUT])


@cache
def catboost_regression() -> FlavorExample:
    x, y = _frame(load_diabetes())
    model = _catboost("CatBoostRegressor", nan_mode="Max")
    model.fit(_with_holes(x)[CUT:].to_numpy(), y[CUT:].to_numpy())
    return FlavorExample("catboost", model, "regression", _with_holes(x)[:CUT])


@cache
def catboost_poisson() -> FlavorExample:
    x, y = _frame(load_diabetes())
    model = _catboost("CatBoostRegressor", objective="Poisson")
    model.fit(x[CUT:].to_numpy(), y[CUT:].to_numpy())
    return FlavorExample("catboost", model, "regression", x[:CUT])


@cache
def catboost_categories() -> FlavorExample:
    x, y = _frame(load_diabetes())
    x = x.select("f0", "f1", kind=pl.Series(["a", "b", "c", "d"] * len(x))[: len(x)])
    model = _catboost("CatBoostRegressor", cat_features=[2])
    model.fit([list(r) for r in x[CUT:].rows()], y[CUT:].to_list())
    return FlavorExample("catboost", model, "regression", x[:CUT], twin=False)


@cache
def torch_binary() -> FlavorExample:
    torch = pytest.importorskip("torch")
    x, _ = _frame(load_breast_cancer())
    torch.manual_seed(0)
    layers = (torch.nn.BatchNorm1d(30), torch.nn.Linear(30, 4), torch.nn.ReLU())
    model = torch.nn.Sequential(*layers, torch.nn.Linear(4, 1), torch.nn.Sigmoid())
    model(torch.tensor(x[CUT:].to_numpy(), dtype=torch.float32))  # BatchNorm learns its means
    model.classes_ = [False, True]
    return FlavorExample("torch", model.eval(), "binary", x[:CUT])


@cache
def torch_without_twin() -> FlavorExample:
    torch = pytest.importorskip("torch")
    x, _ = _frame(load_diabetes())

    class Branching(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, rows: Any) -> Any:
            # Which way it goes is known only when the values are: no graph can say that.
            return rows.sum(1) if bool((rows[:, 0] > 0).any()) else rows.mean(1)

    return FlavorExample("torch", Branching().eval(), "regression", x[:CUT], twin=False)


@cache
def torch_regression() -> FlavorExample:
    torch = pytest.importorskip("torch")
    x, _ = _frame(load_diabetes())
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(10, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    return FlavorExample("torch", model.eval(), "regression", x[:CUT])
