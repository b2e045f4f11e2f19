"""What is made of other parts: pipelines, column transformers, searches, votes and stacks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tidemill.models.converters.compiler import Compiler, Converter, select
from tidemill.models.converters.graph import CannotConvert, Table, table


def _pipeline(compiler: Compiler, model: Any, columns: Table) -> Table:
    for _, step in model.steps:
        columns = _step(compiler, step, columns)
    return columns


def _step(compiler: Compiler, step: Any, columns: Table) -> Table:
    if step is None or (isinstance(step, str) and step == "passthrough"):
        return columns
    if isinstance(step, str) and step == "drop":
        return ()
    return compiler.compile(step, columns)


def _column_transformer(compiler: Compiler, model: Any, columns: Table) -> Table:
    names = getattr(model, "feature_names_in_", None)
    weights = model.transformer_weights or {}
    answer: Table = ()
    for name, step, chosen in model.transformers_:
        if isinstance(step, str) and step == "drop":
            continue
        seen = select(columns, chosen, names)
        if seen:
            answer += _weighted(compiler, _step(compiler, step, seen), weights.get(name))
    return answer


def _feature_union(compiler: Compiler, model: Any, columns: Table) -> Table:
    weights = model.transformer_weights or {}
    answer: Table = ()
    for name, step in model.transformer_list:
        answer += _weighted(compiler, _step(compiler, step, columns), weights.get(name))
    return answer


def _weighted(compiler: Compiler, columns: Table, weight: float | None) -> Table:
    if weight is None or not columns:
        return columns
    graph = compiler.graph
    product = graph.node("Mul", graph.tensor(columns), graph.constant([float(weight)]))
    return table(product, len(columns))


def _inner(attribute: str) -> Converter:
    """A search or a wrapper: the fitted estimator inside answers."""
    return lambda compiler, model, columns: compiler.compile(getattr(model, attribute), columns)


def _voting_classifier(compiler: Compiler, model: Any, columns: Table) -> Table:
    if model.voting != "soft":
        raise CannotConvert("a hard vote has no probabilities")
    return _average(compiler, model.estimators_, columns, model._weights_not_none)


def _voting_regressor(compiler: Compiler, model: Any, columns: Table) -> Table:
    return _average(compiler, model.estimators_, columns, model._weights_not_none)


def _bagging(compiler: Compiler, model: Any, columns: Table) -> Table:
    if any(not hasattr(e, "predict_proba") for e in model.estimators_) and hasattr(
        model, "classes_"
    ):
        raise CannotConvert("a bagged classifier has no probabilities")
    seen = [select(columns, features, None) for features in model.estimators_features_]
    parts = [compiler.compile(e, s) for e, s in zip(model.estimators_, seen, strict=True)]
    return _mean(compiler, parts, None)


def _average(
    compiler: Compiler, estimators: Sequence[Any], columns: Table, weights: Sequence[float] | None
) -> Table:
    return _mean(compiler, [compiler.compile(e, columns) for e in estimators], weights)


def _mean(compiler: Compiler, parts: list[Table], weights: Sequence[float] | None) -> Table:
    graph = compiler.graph
    shares = np.ones(len(parts)) if weights is None else np.asarray(weights, dtype=np.float64)
    if len({len(part) for part in parts}) != 1:
        raise CannotConvert("the parts of an average answer for different classes")
    scaled = [
        graph.node("Mul", graph.tensor(part), graph.constant([share]))
        for part, share in zip(parts, shares / shares.sum(), strict=True)
    ]
    total = scaled[0]
    for other in scaled[1:]:
        total = graph.node("Add", total, other)
    return table(total, len(parts[0]))


def _stacking(compiler: Compiler, model: Any, columns: Table) -> Table:
    if any(method not in {"predict_proba", "predict"} for method in model.stack_method_):
        raise CannotConvert("a stack looks at decision functions")
    if hasattr(model, "classes_") and "predict" in model.stack_method_:
        raise CannotConvert("a stack looks at labels")
    answers: Table = ()
    for estimator in model.estimators_:
        answers += compiler.compile(estimator, columns)
    return compiler.compile(
        model.final_estimator_, answers + (columns if model.passthrough else ())
    )


CONVERTERS: dict[str, Converter] = {
    "Pipeline": _pipeline,
    "ColumnTransformer": _column_transformer,
    "FeatureUnion": _feature_union,
    "GridSearchCV": _inner("best_estimator_"),
    "RandomizedSearchCV": _inner("best_estimator_"),
    "HalvingGridSearchCV": _inner("best_estimator_"),
    "HalvingRandomSearchCV": _inner("best_estimator_"),
    "TunedThresholdClassifierCV": _inner("estimator_"),
    "FixedThresholdClassifier": _inner("estimator_"),
    "VotingClassifier": _voting_classifier,
    "VotingRegressor": _voting_regressor,
    "BaggingClassifier": _bagging,
    "BaggingRegressor": _bagging,
    "StackingClassifier": _stacking,
    "StackingRegressor": _stacking,
}
