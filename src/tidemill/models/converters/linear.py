"""Linear models, generalised ones, and multi-layer perceptrons."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill.models.converters.compiler import Compiler, Converter
from tidemill.models.converters.graph import CannotConvert, GraphBuilder, Table, table
from tidemill.models.converters.numeric import apply


def scores(graph: GraphBuilder, model: Any, columns: Table) -> tuple[str, int]:
    """Return the linear predictor and how many columns it has."""
    weights = np.atleast_2d(np.asarray(model.coef_, dtype=np.float64))
    bias = np.broadcast_to(np.asarray(model.intercept_, dtype=np.float64), (len(weights),))
    tensor = graph.node("MatMul", graph.tensor(columns), graph.constant(weights.T))
    return graph.node("Add", tensor, graph.constant(bias)), len(weights)


def probabilities(graph: GraphBuilder, raw: str, width: int) -> Table:
    """Return the probabilities that belong to log-odds (one column) or logits (several)."""
    if width == 1:
        return table(graph.node("Sigmoid", raw), 1)
    return table(graph.node("Softmax", raw, axis=1), width)


def _regressor(compiler: Compiler, model: Any, columns: Table) -> Table:
    raw, width = scores(compiler.graph, model, columns)
    if width != 1:
        raise CannotConvert("the model predicts several values at once")
    return table(raw, 1)


def _generalised(compiler: Compiler, model: Any, columns: Table) -> Table:
    raw, _ = scores(compiler.graph, model, columns)
    return linked(compiler.graph, model._base_loss, raw)


def linked(graph: GraphBuilder, loss: Any, raw: str, width: int = 1) -> Table:
    """Return raw predictions sent through the inverse of the loss's link."""
    link = type(loss.link).__name__
    if link == "IdentityLink":
        return table(raw, width)
    if link == "LogLink":
        return table(graph.node("Exp", raw), width)
    if link == "HalfLogitLink":
        raw = graph.node("Mul", raw, graph.constant([2.0]))
    elif link not in {"LogitLink", "MultinomialLogit"}:
        raise CannotConvert(f"the link {link} has no counterpart")
    return probabilities(graph, raw, width)


def _logistic(compiler: Compiler, model: Any, columns: Table) -> Table:
    graph = compiler.graph
    raw, width = scores(graph, model, columns)
    if width > 1 and _one_versus_rest(model):
        shares = graph.node("Sigmoid", raw)
        total = graph.node("ReduceSum", shares, graph.constant([1], np.int64), keepdims=1)
        return table(graph.node("Div", shares, total), width)
    return probabilities(graph, raw, width)


def _one_versus_rest(model: Any) -> bool:
    if type(model).__name__ == "SGDClassifier":
        return True
    chosen = getattr(model, "multi_class", "deprecated")
    return chosen == "ovr" or (chosen in {"auto", "deprecated"} and model.solver == "liblinear")


def _discriminant(compiler: Compiler, model: Any, columns: Table) -> Table:
    raw, width = scores(compiler.graph, model, columns)
    return probabilities(compiler.graph, raw, width)


def _sgd(compiler: Compiler, model: Any, columns: Table) -> Table:
    if model.loss != "log_loss":
        raise CannotConvert(f"a linear classifier with the loss {model.loss!r} is not logistic")
    return _logistic(compiler, model, columns)


def _perceptron(compiler: Compiler, model: Any, columns: Table) -> Table:
    graph = compiler.graph
    tensor = graph.tensor(columns)
    last = len(model.coefs_) - 1
    for at, (weights, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        tensor = graph.node("MatMul", tensor, graph.constant(weights))
        tensor = graph.node("Add", tensor, graph.constant(bias))
        tensor = _activated(
            graph, model.out_activation_ if at == last else model.activation, tensor
        )
    width = model.coefs_[-1].shape[1]
    if not hasattr(model, "classes_") and width != 1:
        raise CannotConvert("the model predicts several values at once")
    return table(tensor, width)


def _activated(graph: GraphBuilder, name: str, tensor: str) -> str:
    if name == "identity":
        return tensor
    if name == "softmax":
        return graph.node("Softmax", tensor, axis=1)
    return graph.node({"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}[name], tensor)


def _support_vectors(compiler: Compiler, model: Any, columns: Table) -> Table:
    if model.kernel == "linear":
        return _regressor(compiler, model, columns)
    if model.kernel not in {"rbf", "poly", "sigmoid"} or not isinstance(
        model.support_vectors_, np.ndarray
    ):
        raise CannotConvert(f"a support vector machine with the kernel {model.kernel!r}")
    graph = compiler.graph
    weights = graph.constant(np.asarray(model.dual_coef_).T)
    raw = graph.node("MatMul", _kernel(graph, model, graph.tensor(columns)), weights)
    return table(graph.node("Add", raw, graph.constant(model.intercept_)), 1)


def _kernel(graph: GraphBuilder, model: Any, tensor: str) -> str:
    """Return the similarity of each row to each support vector."""
    gamma = graph.constant([float(model._gamma)])
    if model.kernel == "rbf":
        vectors = graph.constant(model.support_vectors_)
        distance = graph.node(
            "CDist", tensor, vectors, domain="com.microsoft", metric="sqeuclidean"
        )
        return graph.node("Exp", graph.node("Neg", graph.node("Mul", distance, gamma)))
    product = graph.node("MatMul", tensor, graph.constant(model.support_vectors_.T))
    inner = graph.node("Mul", product, gamma)
    inner = graph.node("Add", inner, graph.constant([float(model.coef0)]))
    if model.kernel == "sigmoid":
        return graph.node("Tanh", inner)
    return graph.node("Pow", inner, graph.constant([float(model.degree)]))


def _transformed_target(compiler: Compiler, model: Any, columns: Table) -> Table:
    answer = compiler.compile(model.regressor_, columns)
    back, graph = model.transformer_, compiler.graph
    kind = type(back).__name__
    if kind == "FunctionTransformer":
        return apply(graph, back.inverse_func, answer)
    if kind == "StandardScaler":
        tensor = graph.tensor(answer)
        if back.with_std:
            tensor = graph.node("Mul", tensor, graph.constant(back.scale_))
        if back.with_mean:
            tensor = graph.node("Add", tensor, graph.constant(back.mean_))
        return table(tensor, 1)
    raise CannotConvert(f"the target is transformed by {kind}")


CONVERTERS: dict[str, Converter] = {
    "LogisticRegression": _logistic,
    "LogisticRegressionCV": _logistic,
    "LinearDiscriminantAnalysis": _discriminant,
    "SGDClassifier": _sgd,
    "MLPClassifier": _perceptron,
    "MLPRegressor": _perceptron,
    **dict.fromkeys(("SVR", "NuSVR"), _support_vectors),
    "TransformedTargetRegressor": _transformed_target,
    **dict.fromkeys(("PoissonRegressor", "GammaRegressor", "TweedieRegressor"), _generalised),
    **dict.fromkeys(
        (
            "LinearRegression",
            "Ridge",
            "RidgeCV",
            "Lasso",
            "LassoCV",
            "LassoLars",
            "LassoLarsCV",
            "LassoLarsIC",
            "ElasticNet",
            "ElasticNetCV",
            "Lars",
            "LarsCV",
            "BayesianRidge",
            "ARDRegression",
            "HuberRegressor",
            "QuantileRegressor",
            "SGDRegressor",
            "LinearSVR",
            "OrthogonalMatchingPursuit",
            "TheilSenRegressor",
            "PassiveAggressiveRegressor",
        ),
        _regressor,
    ),
}
