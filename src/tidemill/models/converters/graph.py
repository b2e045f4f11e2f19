"""Builds an ONNX graph a node at a time; knows ONNX and no framework.

What flows between the parts of a model is a table: a list of columns, each a column of some
tensor. Selecting and reordering columns adds no node; a `Gather` appears only where a part needs
its columns side by side in a tensor of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

ML = "ai.onnx.ml"
OPSET = 20
IR_VERSION = 10


class CannotConvert(ValueError):
    """A part of the model has no exact counterpart among ONNX's operators."""


class ColumnRef(NamedTuple):
    """One column of a tensor of shape (rows, width)."""

    tensor: str
    place: int
    width: int
    text: bool = False


Table = tuple[ColumnRef, ...]


def table(tensor: str, width: int, *, text: bool = False) -> Table:
    """Return all columns of a tensor."""
    return tuple(ColumnRef(tensor, i, width, text) for i in range(width))


class GraphBuilder:
    """Gathers nodes and constants, and gives every tensor a name of its own.

    Args:
        numbers: How many columns the float64 input has.
        texts: How many columns the string input has.
    """

    def __init__(self, numbers: int, texts: int) -> None:
        self.inputs = []
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self.numbers = table("numbers", numbers)
        self.texts = table("texts", texts, text=True)
        self.ml_opset = 4
        self.known: dict[tuple[str, int], tuple[Any, ...]] = {}
        """The only values that a column may have, where the model refuses others."""
        self._count = 0
        if numbers:
            self.inputs.append(_input("numbers", TensorProto.DOUBLE, numbers))
        if texts:
            self.inputs.append(_input("texts", TensorProto.STRING, texts))

    def name(self, stem: str) -> str:
        """Return a name that nothing else in the graph has."""
        self._count += 1
        return f"{stem}_{self._count}"

    def node(self, kind: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        output = self.name(kind.lower())
        self.nodes.append(
            helper.make_node(kind, inputs, [output], name=output, domain=domain, **attributes)
        )
        return output

    def constant(self, values: Any, kind: Any = np.float64) -> str:
        """Add a constant tensor, and return its name."""
        name = self.name("constant")
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype=kind), name))
        return name

    def strings(self, values: Sequence[str]) -> str:
        """Add a constant tensor of strings, and return its name."""
        name = self.name("strings")
        self.constants.append(string_tensor(values, name))
        return name

    def tensor(self, columns: Table) -> str:
        """Return a tensor with just these columns, side by side."""
        if not columns:
            raise CannotConvert("a part of the model sees no columns")
        if len({c.text for c in columns}) > 1:
            raise CannotConvert("strings and numbers reach one part of the model side by side")
        parts = [self._part(run) for run in _runs(columns)]
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=1)

    def finish(self, answer: Table, output: str) -> bytes:
        """Return the graph with one float64 output."""
        result = self.node("Identity", self.tensor(answer))
        self.nodes[-1].output[0] = output
        self.nodes = [n for n in self.nodes if n.output[0] == output or result not in n.output]
        graph = helper.make_graph(
            _needed(self.nodes, output),
            "tidemill",
            self.inputs,
            [helper.make_tensor_value_info(output, TensorProto.DOUBLE, [None, len(answer)])],
            self.constants,
        )
        versions = {"": OPSET, ML: self.ml_opset}
        used = {node.domain for node in graph.node} | {""}
        opsets = [helper.make_opsetid(domain, versions.get(domain, 1)) for domain in sorted(used)]
        model = helper.make_model(
            graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="tidemill"
        )
        content: bytes = model.SerializeToString()
        return content

    def _part(self, run: Table) -> str:
        first = run[0]
        if [c.place for c in run] == list(range(first.width)):
            return first.tensor
        indices = self.constant([c.place for c in run], np.int64)
        return self.node("Gather", first.tensor, indices, axis=1)


def string_tensor(values: Sequence[str], name: str) -> Any:
    """Return a tensor of strings."""
    content: Any = [v.encode() for v in values]
    return helper.make_tensor(name, TensorProto.STRING, [len(values)], content)


def double_tensor(values: Any, name: str) -> Any:
    """Return a tensor of float64."""
    array: NDArray[np.float64] = np.ascontiguousarray(values, dtype=np.float64)
    return numpy_helper.from_array(array, name)


def _input(name: str, kind: int, width: int) -> Any:
    return helper.make_tensor_value_info(name, kind, [None, width])


def _runs(columns: Table) -> list[Table]:
    """Split columns where the tensor changes."""
    runs: list[list[ColumnRef]] = []
    for column in columns:
        if runs and runs[-1][0].tensor == column.tensor:
            runs[-1].append(column)
        else:
            runs.append([column])
    return [tuple(run) for run in runs]


def _needed(nodes: list[Any], output: str) -> list[Any]:
    """Return the nodes that the output depends on, in order."""
    wanted = {output}
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            wanted.update(node.input)
            kept.append(node)
    return kept[::-1]
