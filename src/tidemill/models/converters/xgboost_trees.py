"""XGBoost's trees, read from the JSON that XGBoost writes of itself.

XGBoost compares single-precision values with single-precision thresholds, by "less than"; so do
we, and add up in double precision, where XGBoost's own sum ends at the seventh digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.models.converters.compiler import Compiler, Converter
from tidemill.models.converters.graph import CannotConvert, GraphBuilder, Table, table
from tidemill.models.converters.linear import probabilities
from tidemill.models.converters.trees import LESS, Tree, ensemble

_FLOAT, _DOUBLE = 1, 11
_PROBABLE = frozenset({"binary:logistic", "reg:logistic", "multi:softprob", "multi:softmax"})
_EXPONENTIAL = frozenset({"count:poisson", "reg:gamma", "reg:tweedie"})
_PLAIN = frozenset(
    {
        "reg:squarederror",
        "reg:squaredlogerror",
        "reg:absoluteerror",
        "reg:pseudohubererror",
        "reg:quantileerror",
    }
)


def convert(compiler: Compiler, model: Any, columns: Table) -> Table:
    """Add an estimator with scikit-learn's interface, or a booster itself."""
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    best = getattr(booster, "best_iteration", None) if _stopped_early(booster) else None
    if best is not None:
        booster = booster[: best + 1]
    learner = msgspec.json.decode(bytes(booster.save_raw("json")))["learner"]
    return _learner(compiler.graph, learner, columns)


def _stopped_early(booster: Any) -> bool:
    return booster.attr("best_iteration") is not None


def _learner(graph: GraphBuilder, learner: dict[str, Any], columns: Table) -> Table:
    gradient = learner["gradient_booster"]
    if gradient["name"] not in {"gbtree", "dart"}:
        raise CannotConvert(f"XGBoost's {gradient['name']!r} has no trees")
    drops = gradient.get("weight_drop", [])
    inner = gradient["gbtree"]["model"] if "gbtree" in gradient else gradient["model"]
    if int(learner["learner_model_param"].get("num_target", 1)) > 1:
        raise CannotConvert("the model predicts several values at once")
    width = max(int(learner["learner_model_param"]["num_class"]), 1)
    trees = _trees(inner["trees"], inner["tree_info"], width, drops)
    matrix = graph.node("Cast", graph.tensor(columns), to=_FLOAT)
    matrix = graph.node("Cast", matrix, to=_DOUBLE)
    raw = graph.tensor(ensemble(graph, trees, matrix, width))
    objective = learner["objective"]["name"]
    raw = graph.node("Add", raw, graph.constant(_start(learner, objective, width)))
    if objective in _PROBABLE:
        return probabilities(graph, raw, width)
    if objective in _EXPONENTIAL:
        return table(graph.node("Exp", raw), 1)
    if objective in _PLAIN:
        return table(raw, 1)
    raise CannotConvert(f"XGBoost's objective {objective!r} has no counterpart")


def _start(learner: dict[str, Any], objective: str, width: int) -> NDArray[np.float64]:
    """Return where the sum starts; one number is kept as an answer, several as raw scores."""
    text = str(learner["learner_model_param"]["base_score"]).strip("[]")
    values = np.array([float(v) for v in text.split(",")], dtype=np.float64)
    if objective in {"binary:logistic", "reg:logistic"}:
        values = np.log(values / (1.0 - values))
    elif objective in _EXPONENTIAL:
        values = np.log(values)
    return np.broadcast_to(values, (1, width))


def _trees(
    trees: list[dict[str, Any]], targets: list[int], width: int, drops: list[float]
) -> Iterator[Tree]:
    for at, (tree, target) in enumerate(zip(trees, targets, strict=True)):
        yield _tree(tree, target, width, drops[at] if drops else 1.0)


def _tree(tree: dict[str, Any], target: int, width: int, weight: float) -> Tree:
    if any(tree.get("split_type", ())):
        raise CannotConvert("XGBoost's native categories; encode categories first")
    left = np.asarray(tree["left_children"], dtype=np.int64)
    leaf = left == -1
    conditions = np.asarray(tree["split_conditions"], dtype=np.float32).astype(np.float64)
    values = np.zeros((len(leaf), width))
    values[:, target] = conditions * weight
    return Tree(
        leaf=leaf,
        feature=np.where(leaf, 0, np.asarray(tree["split_indices"], dtype=np.int64)),
        threshold=np.where(leaf, 0.0, conditions),
        yes=np.where(leaf, 0, left),
        no=np.where(leaf, 0, np.asarray(tree["right_children"], dtype=np.int64)),
        missing_yes=np.asarray(tree["default_left"]).astype(bool),
        values=values,
        mode=LESS,
    )


CONVERTERS: dict[str, Converter] = dict.fromkeys(
    ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor", "Booster"), convert
)
