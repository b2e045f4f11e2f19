"""LightGBM's trees, read from what LightGBM tells of itself; all in double precision."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tidemill.models.converters.compiler import Compiler, Converter
from tidemill.models.converters.graph import CannotConvert, GraphBuilder, Table, table
from tidemill.models.converters.linear import probabilities
from tidemill.models.converters.trees import Tree, ensemble

_EXPONENTIAL = frozenset({"poisson", "gamma", "tweedie"})
_PLAIN = frozenset(
    {"regression", "regression_l1", "huber", "fair", "quantile", "mape", "mean_squared_error"}
)


def convert(compiler: Compiler, model: Any, columns: Table) -> Table:
    """Add an estimator with scikit-learn's interface, or a booster itself."""
    graph = compiler.graph
    told = getattr(model, "booster_", model).dump_model()
    width = int(told["num_tree_per_iteration"])
    infos = told["tree_info"]
    share = width / len(infos) if told["average_output"] else 1.0
    trees = _trees(infos, width, share)
    raw = graph.tensor(ensemble(graph, trees, graph.tensor(columns), width))
    return _linked(graph, str(told.get("objective", "")).split(), raw, width)


def _linked(graph: GraphBuilder, objective: list[str], raw: str, width: int) -> Table:
    name, options = objective[0] if objective else "", objective[1:]
    if name in {"binary", "multiclassova"}:
        slopes = [float(o.partition(":")[2]) for o in options if o.startswith("sigmoid:")]
        scaled = graph.node("Mul", raw, graph.constant([slopes[0] if slopes else 1.0]))
        shares = graph.node("Sigmoid", scaled)
        if name == "binary":
            return table(shares, 1)
        total = graph.node("ReduceSum", shares, graph.constant([1], np.int64), keepdims=1)
        return table(graph.node("Div", shares, total), width)
    if name == "multiclass":
        return probabilities(graph, raw, width)
    if name in {"cross_entropy", "xentropy"}:
        return probabilities(graph, raw, 1)
    if name in _EXPONENTIAL:
        return table(graph.node("Exp", raw), 1)
    if name in _PLAIN and "sqrt" not in options:
        return table(raw, 1)
    raise CannotConvert(f"LightGBM's objective {' '.join(objective)!r} has no counterpart")


def _trees(infos: list[dict[str, Any]], width: int, share: float) -> Iterator[Tree]:
    for at, info in enumerate(infos):
        yield _tree(info["tree_structure"], at % width, width, share)


def _tree(root: dict[str, Any], target: int, width: int, share: float) -> Tree:
    """Number the nodes from the root on, and put them into arrays."""
    nodes: list[dict[str, Any]] = [root]
    yes, no = [0], [0]
    at = 0
    while at < len(nodes):
        for children, side in ((yes, "left_child"), (no, "right_child")):
            if side in nodes[at]:
                children[at] = len(nodes)
                nodes.append(nodes[at][side])
                yes.append(0)
                no.append(0)
        at += 1
    leaf = np.array(["left_child" not in n for n in nodes])
    if any("leaf_coeff" in n for n in nodes):
        raise CannotConvert("LightGBM's linear leaves")
    values = np.zeros((len(nodes), width))
    values[:, target] = [n.get("leaf_value", 0.0) * share for n in nodes]
    categorical = {i: n for i, n in enumerate(nodes) if n.get("decision_type") == "=="}
    return Tree(
        leaf=leaf,
        feature=np.array([n.get("split_feature", 0) for n in nodes], dtype=np.int64),
        threshold=np.array([_threshold(n) for n in nodes], dtype=np.float64),
        yes=np.array(yes, dtype=np.int64),
        no=np.array(no, dtype=np.int64),
        missing_yes=np.array([_missing_yes(n) for n in nodes], dtype=bool),
        values=values,
        members={
            i: np.array([float(c) for c in str(n["threshold"]).split("||")])
            for i, n in categorical.items()
        },
    )


def _threshold(node: dict[str, Any]) -> float:
    return 0.0 if node.get("decision_type", "==") == "==" else float(node["threshold"])


def _missing_yes(node: dict[str, Any]) -> bool:
    """Where a missing value goes; without a branch of its own it counts as zero."""
    if node.get("decision_type", "==") == "==":
        return False
    kind = node["missing_type"]
    if kind == "Zero":
        raise CannotConvert("LightGBM's zero_as_missing")
    return bool(node["default_left"]) if kind == "NaN" else float(node["threshold"]) >= 0.0


CONVERTERS: dict[str, Converter] = dict.fromkeys(
    ("LGBMClassifier", "LGBMRegressor", "Booster"), convert
)
