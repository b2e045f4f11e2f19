"""Fitted models of every flavor."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import onnx
import polars as pl
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
