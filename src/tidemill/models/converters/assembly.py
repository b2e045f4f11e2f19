"""A whole scikit-learn model as one ONNX graph: where the converters are put together."""

from __future__ import annotations

from functools import partial
from typing import Any

from tidemill.models.converters import (
    borrowed,
    calibration,
    catboost_trees,
    categories,
    composition,
    lightgbm_trees,
    linear,
    numeric,
    sklearn_trees,
    xgboost_trees,
)
from tidemill.models.converters.compiler import Compiler
from tidemill.models.converters.graph import CannotConvert, GraphBuilder
from tidemill.models.protocol import Converted
from tidemill.models.records import Signature

_SKLEARN = (composition, categories, numeric, linear, sklearn_trees, calibration)
CONVERTERS = {
    **{f"sklearn.{name}": c for module in _SKLEARN for name, c in module.CONVERTERS.items()},
    **{f"xgboost.{name}": c for name, c in xgboost_trees.CONVERTERS.items()},
    **{f"catboost.{name}": c for name, c in catboost_trees.CONVERTERS.items()},
    **{f"lightgbm.{name}": c for name, c in lightgbm_trees.CONVERTERS.items()},
}


def assemble(model: Any, signature: Signature, *, double: bool, output: str) -> Converted:
    """Return a fitted estimator as a graph in the `grouped` layout.

    Args:
        model: The estimator.
        signature: Its features.
        double: In which precision borrowed parts compute; our own always are double.
        output: The name of the graph's output.

    Raises:
        CannotConvert: A part of it has no counterpart.
    """
    graph = GraphBuilder(len(signature.numbers), len(signature.texts))
    numbers, texts = iter(graph.numbers), iter(graph.texts)
    by_name = {c.name: next(texts if c.type == "string" else numbers) for c in signature.features}
    order = _order(model, list(by_name))
    compiler = Compiler(graph, CONVERTERS, partial(borrowed.convert, double=double))
    answer = compiler.compile(model, tuple(by_name[n] for n in order))
    known = {
        name: tuple(str(k) if column.text else int(k) for k in keys)
        for name, column in by_name.items()
        if (keys := graph.known.get((column.tensor, column.place))) is not None
    }
    return Converted(graph.finish(answer, output), "grouped", known)


def _order(model: Any, features: list[str]) -> list[str]:
    """Return the features in the order in which the model was fitted on them.

    Raises:
        CannotConvert: It was fitted on columns that are no features.
    """
    named = getattr(model, "feature_names_in_", None)
    if named is None:
        named = getattr(model, "feature_names", None)  # a booster of XGBoost
    if named is None:
        named = getattr(model, "feature_names_", None)  # CatBoost
    names = features if named is None else [str(n) for n in named]
    unknown = [n for n in names if n not in features]
    if not unknown:
        return names
    if len(unknown) == len(names) == len(features):  # it was fitted on an array, or renamed them
        return features
    raise CannotConvert(f"the model was fitted on {unknown[0]!r}, which is no feature")
