"""Parts that skl2onnx converts: its nodes are put into our graph under names of their own."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
from onnx import TensorProto

from tidemill.models.converters.compiler import Compiler
from tidemill.models.converters.graph import ML, CannotConvert, GraphBuilder, Table, table

_OPSET = {"": 18, ML: 3}


def convert(compiler: Compiler, part: Any, columns: Table, *, double: bool) -> Table:
    """Add what skl2onnx makes of a part that sees numbers only.

    Raises:
        CannotConvert: It sees strings, or has another answer than one tensor of numbers.
    """
    from skl2onnx import convert_sklearn
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    name = type(part).__name__
    if any(c.text for c in columns):
        raise CannotConvert(f"{name} sees strings")
    number = DoubleTensorType if double else FloatTensorType
    part = _with_plain_classes(part)
    model = convert_sklearn(
        part,
        initial_types=[("x", number([None, len(columns)]))],
        options={id(part): _options(part)},
        target_opset=_OPSET,
    )
    graph = compiler.graph
    matrix = graph.tensor(columns)
    if not double:
        matrix = graph.node("Cast", matrix, to=TensorProto.FLOAT)
    outputs = {o.name: o for o in model.graph.output}
    classifies = hasattr(part, "predict_proba")
    wanted = "probabilities" if classifies else next(iter(outputs))
    if wanted not in outputs:
        raise CannotConvert(f"{name} has no probabilities")
    found = _inline(graph, model.graph, matrix, wanted)
    answer = graph.node("Cast", found, to=TensorProto.DOUBLE)
    if not classifies and hasattr(part, "predict"):
        answer = graph.node("Reshape", answer, graph.constant([-1, 1], "int64"))
        return table(answer, 1)
    width = len(part.classes_) if classifies else _width(outputs[wanted], name)
    columns = table(answer, width)
    return columns[1:] if classifies and width == 2 else columns


def _options(part: Any) -> dict[str, object]:
    options: dict[str, object] = {"zipmap": False} if hasattr(part, "predict_proba") else {}
    if type(part).__module__.startswith(("sklearn.neighbors", "sklearn.gaussian_process")):
        options["optim"] = "cdist"  # one operator instead of a loop over the training rows
    return options


def _with_plain_classes(part: Any) -> Any:
    """Return a classifier of true and false as one of 0 and 1, which is what can be written."""
    classes = getattr(part, "classes_", None)
    if not isinstance(classes, np.ndarray) or classes.dtype != np.bool_:
        return part
    plain = copy.copy(part)
    plain.classes_ = classes.astype(np.int64)
    return plain


def _inline(graph: GraphBuilder, inner: Any, matrix: str, wanted: str) -> str:
    """Copy the nodes of a graph with one input and return the name of one output."""
    names = {inner.input[0].name: matrix, "": ""}

    def renamed(name: str) -> str:
        if name not in names:
            names[name] = graph.name("borrowed")
        return names[name]

    for constant in inner.initializer:
        copy = type(constant)()
        copy.CopyFrom(constant)
        copy.name = renamed(constant.name)
        graph.constants.append(copy)
    for node in inner.node:
        if any(a.g.node or a.graphs for a in node.attribute):
            raise CannotConvert(f"the operator {node.op_type} has a graph inside")
        copy = type(node)()
        copy.CopyFrom(node)
        copy.name = graph.name("borrowed")
        copy.input[:] = [renamed(n) for n in node.input]
        copy.output[:] = [renamed(n) for n in node.output]
        graph.nodes.append(copy)
    return renamed(wanted)


def _width(output: Any, name: str) -> int:
    shape = output.type.tensor_type.shape.dim
    if len(shape) != 2 or not shape[1].dim_value:
        raise CannotConvert(f"the width of the answer of {name} is not known")
    return int(shape[1].dim_value)
