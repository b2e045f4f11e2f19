"""Graphs take numbers of either width, and answer as if they had come in their own."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from tidemill.core.contract import Column
from tidemill.models.records import Signature
from tidemill.models.session import Graph

SIGNATURE = Signature(
    task="regression", features=(Column(name="a", type="float"), Column(name="b", type="float"))
)


def graph_of(kind: int) -> Graph:
    graph = helper.make_graph(
        [helper.make_node("ReduceSum", ["x"], ["y"], axes=[1])],
        "sum",
        [helper.make_tensor_value_info("x", kind, [None, 2])],
        [helper.make_tensor_value_info("y", kind, [None, 1])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 12)], ir_version=8)
    onnx.checker.check_model(model)
    return Graph(model.SerializeToString(), SIGNATURE, "grouped")


@pytest.mark.parametrize("kind", [TensorProto.FLOAT, TensorProto.DOUBLE])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_numbers_of_any_width_are_taken(kind: int, dtype: type[np.floating]) -> None:
    said = graph_of(kind).run([np.array([[0.5, 1.25], [2.0, 3.5]], dtype=dtype)])
    assert said.values.tolist() == [1.75, 5.5]
