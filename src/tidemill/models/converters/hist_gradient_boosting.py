"""scikit-learn's histogram gradient boosting as one ONNX tree ensemble.

Thresholds and inputs stay in double precision: a split decides the same way on both sides, where
single precision would send rows that lie next to a threshold into the other branch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto
from onnx.helper import make_tensor
from onnx.numpy_helper import from_array
from skl2onnx.common.data_types import FloatTensorType, Int64TensorType, StringTensorType
from skl2onnx.common.utils import check_input_and_output_numbers

_DOMAIN = "ai.onnx.ml"


class CategoricalSplits(ValueError):
    """The model splits on native categories, which a tree ensemble cannot express exactly."""


def shapes(operator: Any) -> None:
    """Tell the graph builder the shapes of the outputs."""
    model, rows = operator.raw_operator, operator.inputs[0].get_first_dimension()
    if hasattr(model, "classes_"):
        check_input_and_output_numbers(operator, output_count_range=2)
        text = model.classes_.dtype.kind in "UO"
        label = StringTensorType if text else Int64TensorType
        operator.outputs[0].type = label([rows])
        operator.outputs[1].type = FloatTensorType([rows, len(model.classes_)])
    else:
        operator.outputs[0].type = FloatTensorType([rows, 1])


def convert(scope: Any, operator: Any, container: Any) -> None:
    """Add the nodes that compute what the model's `predict` and `predict_proba` do."""
    model = operator.raw_operator
    inputs = scope.get_unique_variable_name("trees_input")
    container.add_node(
        "Cast", operator.inputs[0].full_name, inputs, to=TensorProto.DOUBLE, op_version=13
    )
    if not hasattr(model, "classes_"):
        raw = operator.outputs[0].full_name
        container.add_node(
            "TreeEnsembleRegressor",
            inputs,
            raw,
            op_domain=_DOMAIN,
            op_version=3,
            name=scope.get_unique_operator_name("trees"),
            **ensemble(model),
        )
        return
    raw = scope.get_unique_variable_name("raw_scores")
    container.add_node(
        "TreeEnsembleRegressor",
        inputs,
        raw,
        op_domain=_DOMAIN,
        op_version=3,
        name=scope.get_unique_operator_name("trees"),
        **ensemble(model),
    )
    probabilities = operator.outputs[1].full_name
    _probabilities(scope, container, raw, probabilities, binary=len(model.classes_) == 2)
    _labels(scope, container, model.classes_, probabilities, operator.outputs[0].full_name)


def ensemble(model: Any) -> dict[str, Any]:
    """Return the attributes of the tree ensemble.

    Raises:
        CategoricalSplits: A node splits on native categories.
    """
    columns: dict[str, list[np.ndarray[Any, Any]]] = {}
    weights: dict[str, list[np.ndarray[Any, Any]]] = {}
    tree = 0
    for iteration in model._predictors:
        for target, predictor in enumerate(iteration):
            _add_tree(columns, weights, predictor.nodes, tree, target)
            tree += 1
    nodes = {name: np.concatenate(parts) for name, parts in columns.items()}
    leaves = {name: np.concatenate(parts) for name, parts in weights.items()}
    baseline = np.asarray(model._baseline_prediction, dtype=np.float64).ravel()
    modes = np.where(nodes.pop("is_leaf"), "LEAF", "BRANCH_LEQ")
    return {
        "n_targets": len(baseline),
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "base_values_as_tensor": _double("base_values", baseline),
        "nodes_modes": modes.tolist(),
        "nodes_values_as_tensor": _double("nodes_values", nodes.pop("values")),
        "target_weights_as_tensor": _double("target_weights", leaves.pop("weights")),
        **{f"nodes_{name}": values.tolist() for name, values in nodes.items()},
        **{f"target_{name}": values.tolist() for name, values in leaves.items()},
    }


def _add_tree(
    columns: dict[str, list[np.ndarray[Any, Any]]],
    weights: dict[str, list[np.ndarray[Any, Any]]],
    nodes: np.ndarray[Any, Any],
    tree: int,
    target: int,
) -> None:
    leaf = nodes["is_leaf"].astype(bool)
    if nodes["is_categorical"].any():
        raise CategoricalSplits(
            "native categorical splits have no exact counterpart; encode categories first"
        )
    count = len(nodes)
    for name, values in {
        "treeids": np.full(count, tree),
        "nodeids": np.arange(count),
        "featureids": np.where(leaf, 0, nodes["feature_idx"]),
        "truenodeids": np.where(leaf, 0, nodes["left"]),
        "falsenodeids": np.where(leaf, 0, nodes["right"]),
        "missing_value_tracks_true": nodes["missing_go_to_left"],
    }.items():
        columns.setdefault(name, []).append(values.astype(np.int64))
    columns.setdefault("is_leaf", []).append(leaf)
    thresholds = np.where(leaf, 0.0, nodes["num_threshold"])
    columns.setdefault("values", []).append(thresholds)
    at = np.flatnonzero(leaf)
    weights.setdefault("treeids", []).append(np.full(len(at), tree))
    weights.setdefault("nodeids", []).append(at)
    weights.setdefault("ids", []).append(np.full(len(at), target))
    weights.setdefault("weights", []).append(nodes["value"][at])


def _double(name: str, values: np.ndarray[Any, Any]) -> Any:
    return from_array(np.ascontiguousarray(values, dtype=np.float64), name)


def _probabilities(scope: Any, container: Any, raw: str, out: str, *, binary: bool) -> None:
    if not binary:
        container.add_node("Softmax", raw, out, axis=1, op_version=13)
        return
    yes, no, one = (scope.get_unique_variable_name(n) for n in ("yes", "no", "one"))
    container.add_initializer(one, TensorProto.FLOAT, [1], [1.0])
    container.add_node("Sigmoid", raw, yes, op_version=13)
    container.add_node("Sub", [one, yes], no, op_version=14)
    container.add_node("Concat", [no, yes], out, axis=1, op_version=13)


def _labels(scope: Any, container: Any, classes: Any, probabilities: str, out: str) -> None:
    best, names = (scope.get_unique_variable_name(n) for n in ("best", "classes"))
    container.add_node("ArgMax", probabilities, best, axis=1, keepdims=0, op_version=13)
    if classes.dtype.kind in "UO":
        values: list[Any] = [str(c).encode() for c in classes]
        kind = TensorProto.STRING
    else:
        values, kind = [int(c) for c in classes], TensorProto.INT64
    container.initializers.append(make_tensor(names, kind, [len(values)], values))
    container.add_node(
        "ArrayFeatureExtractor",
        [names, best],
        _row(scope, container, out),
        op_domain=_DOMAIN,
        op_version=1,
    )


def _row(scope: Any, container: Any, out: str) -> str:
    """The extractor answers with one row; give its name, and flatten it into `out` after."""
    row, shape = (scope.get_unique_variable_name(n) for n in ("row", "shape"))
    container.initializers.append(make_tensor(shape, TensorProto.INT64, [1], [-1]))
    container.add_node("Reshape", [row, shape], out, op_version=14)
    return str(row)
