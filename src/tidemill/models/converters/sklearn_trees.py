"""scikit-learn's trees: histogram gradient boosting, gradient boosting, forests, single trees."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tidemill.models.converters.compiler import Compiler, Converter
from tidemill.models.converters.graph import CannotConvert, GraphBuilder, Table
from tidemill.models.converters.linear import linked
from tidemill.models.converters.trees import Tree, ensemble

_FLOAT, _DOUBLE = 1, 11
Arrays = NDArray[Any]


def _boosting(compiler: Compiler, model: Any, columns: Table) -> Table:
    raw, width = raw_boosting(compiler, model, columns)
    return linked(compiler.graph, model._loss, raw, width)


def raw_boosting(compiler: Compiler, model: Any, columns: Table) -> tuple[str, int]:
    """Return what boosted trees add up to, before the link, and how many columns it has."""
    graph = compiler.graph
    if hasattr(model, "_predictors"):
        if model._preprocessor is not None:
            columns = compiler.compile(model._preprocessor, columns)
        baseline, width = model._baseline_prediction, model.n_trees_per_iteration_
        trees, matrix = _histogram_trees(model), graph.tensor(columns)
    else:
        baseline, width = _start(model), model.estimators_.shape[1]
        trees, matrix = _gradient_trees(model), _single(graph, columns)
    raw = graph.tensor(ensemble(graph, trees, matrix, width))
    start = np.asarray(baseline, dtype=np.float64).reshape(1, width)
    return graph.node("Add", raw, graph.constant(start)), width


def _histogram_trees(model: Any) -> Iterator[Tree]:
    for iteration in model._predictors:
        for target, predictor in enumerate(iteration):
            yield _histogram_tree(predictor, target, model.n_trees_per_iteration_)


def _gradient_trees(model: Any) -> Iterator[Tree]:
    for iteration in model.estimators_:
        for target, estimator in enumerate(iteration):
            yield _spread(_tree(estimator.tree_), target, len(iteration), model.learning_rate)


def _start(model: Any) -> Any:
    kind = type(model.init_).__name__
    if model.init_ != "zero" and kind not in {"DummyClassifier", "DummyRegressor"}:
        raise CannotConvert(f"boosting starts from another model, a {kind}")
    return model._raw_predict_init(np.zeros((1, model.n_features_in_)))


def _forest(compiler: Compiler, model: Any, columns: Table) -> Table:
    estimators = getattr(model, "estimators_", [model])
    if model.n_outputs_ != 1:
        raise CannotConvert("the model predicts several values at once")
    classes = len(model.classes_) if hasattr(model, "classes_") else 0
    trees = (_voting_tree(e.tree_, classes, len(estimators)) for e in estimators)
    width = classes if classes > 2 else 1
    graph = compiler.graph
    return ensemble(graph, trees, _single(graph, columns), width)


def _voting_tree(tree: Any, classes: int, count: int) -> Tree:
    values = tree.value[:, 0, :]
    if classes:
        values = values / values.sum(axis=1, keepdims=True)
    if classes == 2:
        values = values[:, 1:]
    return _tree(tree)._replace(values=values / count)


def _single(graph: GraphBuilder, columns: Table) -> str:
    """scikit-learn's trees compare values in single precision with thresholds in double."""
    rounded = graph.node("Cast", graph.tensor(columns), to=_FLOAT)
    return graph.node("Cast", rounded, to=_DOUBLE)


def _tree(tree: Any) -> Tree:
    leaf = tree.children_left == -1
    return Tree(
        leaf=leaf,
        feature=np.where(leaf, 0, tree.feature),
        threshold=np.where(leaf, 0.0, tree.threshold),
        yes=np.where(leaf, 0, tree.children_left),
        no=np.where(leaf, 0, tree.children_right),
        missing_yes=tree.missing_go_to_left.astype(bool),
        values=tree.value[:, 0, :],
    )


def _spread(tree: Tree, target: int, width: int, factor: float) -> Tree:
    """Let a tree of one value add to one of several targets."""
    values = np.zeros((len(tree.leaf), width))
    values[:, target] = tree.values[:, 0] * factor
    return tree._replace(values=values)


def _histogram_tree(predictor: Any, target: int, width: int) -> Tree:
    nodes = predictor.nodes
    leaf = nodes["is_leaf"].astype(bool)
    values = np.zeros((len(nodes), width))
    values[:, target] = nodes["value"]
    thresholds = np.where(leaf, 0.0, nodes["num_threshold"])
    categorical = nodes["is_categorical"].astype(bool) & ~leaf
    members = {
        int(at): _members(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][at]])
        for at in np.flatnonzero(categorical)
    }
    for at in [at for at, known in members.items() if not len(known)]:
        thresholds[at] = -np.inf  # nothing is in an empty set
        del members[at]
    return Tree(
        leaf=leaf,
        feature=np.where(leaf, 0, nodes["feature_idx"]).astype(np.int64),
        threshold=thresholds,
        yes=np.where(leaf, 0, nodes["left"]).astype(np.int64),
        no=np.where(leaf, 0, nodes["right"]).astype(np.int64),
        missing_yes=nodes["missing_go_to_left"].astype(bool),
        values=values,
        members=members,
    )


def _members(words: Arrays) -> NDArray[np.float64]:
    """Return which of the 256 bits in eight words are set."""
    bits = np.unpackbits(np.ascontiguousarray(words, dtype="<u4").view(np.uint8), bitorder="little")
    return np.flatnonzero(bits).astype(np.float64)


CONVERTERS: dict[str, Converter] = {
    **dict.fromkeys(
        (
            "HistGradientBoostingClassifier",
            "HistGradientBoostingRegressor",
            "GradientBoostingClassifier",
            "GradientBoostingRegressor",
        ),
        _boosting,
    ),
    **dict.fromkeys(
        (
            "RandomForestClassifier",
            "RandomForestRegressor",
            "ExtraTreesClassifier",
            "ExtraTreesRegressor",
            "DecisionTreeClassifier",
            "DecisionTreeRegressor",
            "ExtraTreeClassifier",
            "ExtraTreeRegressor",
        ),
        _forest,
    ),
}
