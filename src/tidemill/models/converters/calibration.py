"""Calibrated classifiers: another model's scores, sent through a sigmoid or a staircase."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill.models.converters.compiler import Compiler, Converter
from tidemill.models.converters.graph import CannotConvert, GraphBuilder, Table, table
from tidemill.models.converters.linear import scores
from tidemill.models.converters.sklearn_trees import raw_boosting

_TREES = {
    "HistGradientBoostingClassifier",
    "GradientBoostingClassifier",
}
_LINEAR = {
    "LogisticRegression",
    "LogisticRegressionCV",
    "LinearSVC",
    "RidgeClassifier",
    "RidgeClassifierCV",
    "SGDClassifier",
    "Perceptron",
    "PassiveAggressiveClassifier",
    "LinearDiscriminantAnalysis",
}


def _calibrated(compiler: Compiler, model: Any, columns: Table) -> Table:
    if any(not _is_known(inner.estimator) for inner in model.calibrated_classifiers_):
        return compiler.borrow(model, columns)
    if any(len(inner.estimator.classes_) < len(model.classes_) for inner in _inner(model)):
        raise CannotConvert("a fold of the calibration lacks a class")
    graph = compiler.graph
    parts = [_one(compiler, inner, columns) for inner in _inner(model)]
    total = graph.tensor(parts[0])
    for part in parts[1:]:
        total = graph.node("Add", total, graph.tensor(part))
    mean = graph.node("Div", total, graph.constant([float(len(parts))]))
    return table(mean, len(parts[0]))


def _inner(model: Any) -> list[Any]:
    return list(model.calibrated_classifiers_)


def _one(compiler: Compiler, inner: Any, columns: Table) -> Table:
    graph = compiler.graph
    raw = _decision(compiler, inner.estimator, columns)
    calibrated = [
        _curve(graph, calibrator, graph.tensor((column,)))
        for calibrator, column in zip(inner.calibrators, raw, strict=True)
    ]
    if len(calibrated) == 1:
        return table(calibrated[0], 1)
    together = graph.node("Concat", *calibrated, axis=1)
    total = graph.node("ReduceSum", together, graph.constant([1], np.int64), keepdims=1)
    return table(graph.node("Div", together, total), len(calibrated))


def _is_known(estimator: Any) -> bool:
    last = estimator.steps[-1][1] if type(estimator).__name__ == "Pipeline" else estimator
    return type(last).__name__ in _TREES | _LINEAR or not hasattr(last, "decision_function")


def _decision(compiler: Compiler, estimator: Any, columns: Table) -> Table:
    """Return the decision function, or the probabilities of a model that has none."""
    if type(estimator).__name__ == "Pipeline":
        for _, step in estimator.steps[:-1]:
            columns = compiler.compile(step, columns)
        estimator = estimator.steps[-1][1]
    kind = type(estimator).__name__
    if kind in _TREES:
        raw, width = raw_boosting(compiler, estimator, columns)
        return table(raw, width)
    if kind in _LINEAR:
        return table(*scores(compiler.graph, estimator, columns))
    return compiler.compile(estimator, columns)


def _curve(graph: GraphBuilder, calibrator: Any, raw: str) -> str:
    if type(calibrator).__name__ == "_SigmoidCalibration":
        scaled = graph.node("Mul", raw, graph.constant([-float(calibrator.a_)]))
        return graph.node("Sigmoid", graph.node("Sub", scaled, graph.constant([calibrator.b_])))
    if type(calibrator).__name__ == "IsotonicRegression" and calibrator.out_of_bounds == "clip":
        return _staircase(graph, calibrator.X_thresholds_, calibrator.y_thresholds_, raw)
    raise CannotConvert(f"a calibration by {type(calibrator).__name__}")


def _staircase(graph: GraphBuilder, x: Any, y: Any, raw: str) -> str:
    """Interpolate between points: what lies left of a value in each stretch, times its slope."""
    if len(x) < 2:
        flat = graph.node("Mul", raw, graph.constant([0.0]))
        return graph.node("Add", flat, graph.constant([float(y[0])]))
    x, y = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    inside = graph.node("Sub", raw, graph.constant(x[:-1]))
    inside = graph.node("Max", inside, graph.constant([0.0]))
    inside = graph.node("Min", inside, graph.constant(np.diff(x)))
    slopes = (np.diff(y) / np.diff(x)).reshape(-1, 1)
    rise = graph.node("MatMul", inside, graph.constant(slopes))
    return graph.node("Add", rise, graph.constant([float(y[0])]))


CONVERTERS: dict[str, Converter] = {"CalibratedClassifierCV": _calibrated}
