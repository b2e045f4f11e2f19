"""CatBoost's trees, read from the JSON that CatBoost writes of itself.

CatBoost compares single-precision values with single-precision borders, by "greater than"; so do
we, and add up in double precision as it does. Its own ONNX export keeps single precision only, and
no categories either.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.models.converters.compiler import Compiler, Converter
from tidemill.models.converters.graph import CannotConvert, GraphBuilder, Table, table
from tidemill.models.converters.linear import probabilities
from tidemill.models.converters.trees import Tree, ensemble

_FLOAT, _DOUBLE = 1, 11
_EXPONENTIAL = frozenset({"Poisson", "Tweedie"})
_PLAIN = frozenset(
    {
        *("RMSE", "MAE", "MAPE", "Quantile", "MultiQuantile", "LogLinQuantile", "Expectile"),
        *("Lq", "Huber", "LogCosh", "Focal"),
    }
)
_Split = tuple[int, float, bool]
"""The column, the border, and where a missing value goes: to the smaller side or not."""


def convert(compiler: Compiler, model: Any, columns: Table) -> Table:
    """Add a model that was trained on numbers."""
    told = _told(model)
    numbers = told["features_info"].get("float_features", [])
    if told["features_info"].get("categorical_features"):
        raise CannotConvert("CatBoost's categories; encode categories first")
    if told["features_info"].keys() & {"text_features", "embedding_features"}:
        raise CannotConvert("CatBoost's texts and embeddings")
    graph = compiler.graph
    scale, starts = told["scale_and_bias"]
    bias = np.atleast_1d(np.asarray(starts, dtype=np.float64))
    features = [(f["flat_feature_index"], _goes_low(f["nan_value_treatment"])) for f in numbers]
    trees = _trees(told, features, len(bias), float(scale))
    matrix = graph.node("Cast", graph.tensor(columns), to=_FLOAT)
    matrix = graph.node("Cast", matrix, to=_DOUBLE)
    raw = graph.tensor(ensemble(graph, trees, matrix, len(bias)))
    raw = graph.node("Add", raw, graph.constant(bias.reshape(1, -1)))
    return _linked(graph, _loss(told), raw, len(bias))


def _told(model: Any) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="tidemill-catboost-") as folder:
        path = Path(folder) / "model.json"
        try:
            model.save_model(str(path), format="json")
        except Exception as error:  # CatBoost's errors share no base but this
            raise CannotConvert(f"CatBoost cannot write its trees: {error}") from error
        told: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        return told


def _loss(told: dict[str, Any]) -> str:
    parameters = told["model_info"].get("params", {})
    if isinstance(parameters, str):
        parameters = msgspec.json.decode(parameters)
    return str(parameters.get("loss_function", {}).get("type", ""))


def _linked(graph: GraphBuilder, loss: str, raw: str, width: int) -> Table:
    if loss in {"Logloss", "CrossEntropy"} and width == 1:
        return probabilities(graph, raw, 1)
    if loss == "MultiClass":
        return probabilities(graph, raw, width)
    if loss == "MultiClassOneVsAll":
        return table(graph.node("Sigmoid", raw), width)
    if loss in _EXPONENTIAL:
        return table(graph.node("Exp", raw), 1)
    if loss in _PLAIN and width == 1:
        return table(raw, 1)
    raise CannotConvert(f"CatBoost's loss {loss!r} has no counterpart")


def _goes_low(treatment: str) -> bool:
    """Whether a missing value is smaller than every border; it is larger where it is `AsTrue`."""
    return treatment != "AsTrue"


def _trees(
    told: dict[str, Any], features: list[tuple[int, bool]], width: int, scale: float
) -> Iterator[Tree]:
    for tree in told.get("oblivious_trees", []):
        splits = [_split(s, features) for s in tree.get("splits") or []]
        values = np.asarray(tree["leaf_values"], dtype=np.float64).reshape(-1, width) * scale
        yield _oblivious(splits, values)
    for root in told.get("trees", []):
        yield _grown(root, features, width, scale)


def _split(split: dict[str, Any], features: list[tuple[int, bool]]) -> _Split:
    if split["split_type"] != "FloatFeature":
        raise CannotConvert(f"CatBoost's splits of type {split['split_type']!r}")
    column, low = features[split["float_feature_index"]]
    return column, float(np.float32(split["border"])), low


def _oblivious(splits: list[_Split], values: NDArray[np.float64]) -> Tree:
    """Write out a tree that asks the same question of all nodes of a level.

    A leaf's number has bit i set where a row is above the border of split i, so the root asks the
    last question and the leaves stand in the order of their numbers.
    """
    depth = len(splits)
    inner = 2**depth - 1
    count = inner + 2**depth
    level = np.floor(np.log2(np.arange(inner) + 1)).astype(np.int64)
    asked = [splits[depth - 1 - at] for at in level.tolist()]
    leaf = np.arange(count) >= inner
    children = 2 * np.arange(count, dtype=np.int64)
    leaves = np.zeros((count, values.shape[1]))
    leaves[inner:] = values
    return Tree(
        leaf=leaf,
        feature=np.array([a[0] for a in asked] + [0] * (count - inner), dtype=np.int64),
        threshold=np.array([a[1] for a in asked] + [0.0] * (count - inner), dtype=np.float64),
        yes=np.where(leaf, 0, children + 1),
        no=np.where(leaf, 0, children + 2),
        missing_yes=np.array([a[2] for a in asked] + [False] * (count - inner), dtype=bool),
        values=leaves,
    )


def _grown(
    root: dict[str, Any], features: list[tuple[int, bool]], width: int, scale: float
) -> Tree:
    """Number the nodes of any other tree from the root on."""
    nodes: list[dict[str, Any]] = [root]
    low, high = [0], [0]
    at = 0
    while at < len(nodes):
        for children, side in ((low, "left"), (high, "right")):
            if side in nodes[at]:
                children[at] = len(nodes)
                nodes.append(nodes[at][side])
                low.append(0)
                high.append(0)
        at += 1
    splits = [_split(n["split"], features) if "split" in n else (0, 0.0, False) for n in nodes]
    values = np.zeros((len(nodes), width))
    for number, node in enumerate(nodes):
        if "value" in node:
            values[number] = np.asarray(node["value"], dtype=np.float64) * scale
    return Tree(
        leaf=np.array(["split" not in n for n in nodes]),
        feature=np.array([s[0] for s in splits], dtype=np.int64),
        threshold=np.array([s[1] for s in splits], dtype=np.float64),
        yes=np.array(low, dtype=np.int64),
        no=np.array(high, dtype=np.int64),
        missing_yes=np.array([s[2] for s in splits], dtype=bool),
        values=values,
    )


CONVERTERS: dict[str, Converter] = dict.fromkeys(
    ("CatBoost", "CatBoostClassifier", "CatBoostRegressor"), convert
)
