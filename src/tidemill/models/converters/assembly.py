"""A whole scikit-learn model as one ONNX graph: where the converters are put together."""

from __future__ import annotations

from functools import partial
from typing import Any

from tidemill.models.converters import (
    borrowed,
    calibration,
    categories,
    composition,
    linear,
    numeric,
    sklearn_trees,
)
from tidemill.models.converters.compiler import Compiler
from tidemill.models.converters.graph import CannotConvert, GraphBuilder
from tidemill.models.protocol import Converted
from tidemill.models.records import Signature

CONVERTERS = {
    **composition.CONVERTERS,
    **categories.CONVERTERS,
    **numeric.CONVERTERS,
    **linear.CONVERTERS,
    **sklearn_trees.CONVERTERS,
    **calibration.CONVERTERS,
}


def assemble(model: Any, signature: Signature, *, double: bool, output: str) -> Converted:
    """Return a fitted estimator as a graph in the `grouped` layout.

    Args:
        model: The estimator.
        signature: Its features.
        double: In which precision borrowed parts compute; our own always are double.
        output: The name of the graph's output.

    Raises:
        CannotConvert: A part of it has no counterpart.
    """
    graph = GraphBuilder(len(signature.numbers), len(signature.texts))
    numbers, texts = iter(graph.numbers), iter(graph.texts)
    by_name = {c.name: next(texts if c.type == "string" else numbers) for c in signature.features}
    names = getattr(model, "feature_names_in_", None)
    order = list(by_name) if names is None else [str(n) for n in names]
    for name in order:
        if name not in by_name:
            raise CannotConvert(f"the model was fitted on {name!r}, which is no feature")
    compiler = Compiler(graph, CONVERTERS, partial(borrowed.convert, double=double))
    answer = compiler.compile(model, tuple(by_name[n] for n in order))
    known = {
        name: tuple(str(k) if column.text else int(k) for k in keys)
        for name, column in by_name.items()
        if (keys := graph.known.get((column.tensor, column.place))) is not None
    }
    return Converted(graph.finish(answer, output), "grouped", known)
