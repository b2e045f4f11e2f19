"""Models that are ONNX graphs already: the graph is the original and, once checked, the twin.

A graph takes either one tensor of numbers with a column a feature, or one tensor a feature under
its name. It answers with `probabilities` (or its last output) of shape (rows, classes), or with a
regression's values. A classifier's labels are the JSON list in the metadata entry `classes`, or
else 0, 1, 2, ….
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.models.errors import CannotBeSaved
from tidemill.models.external import refuse_external_data
from tidemill.models.frames import columns_of
from tidemill.models.inputs import Encoder
from tidemill.models.protocol import Converted, Precision, Saved, Trust
from tidemill.models.records import Label, Layout, Signature
from tidemill.models.session import PROBABILITIES, Graph

if TYPE_CHECKING:
    import polars as pl

FILE = "model.onnx"


class OnnxFlavor:
    """An `onnx.ModelProto`."""

    name = "onnx"

    def matches(self, model: object) -> bool:
        onnx = sys.modules.get("onnx")
        return onnx is not None and isinstance(model, onnx.ModelProto)

    def classes(self, model: Any) -> tuple[Label, ...]:
        for entry in model.metadata_props:
            if entry.key == "classes":
                named = msgspec.json.decode(entry.value, type=list[bool | int | str])
                return tuple(named)
        return tuple(range(_width(model)))

    def predict(self, model: Any, rows: pl.DataFrame, signature: Signature) -> NDArray[np.float64]:
        graph = Graph(model.SerializeToString(), signature, _layout(model, signature))
        encoder = Encoder(signature, refuse_out_of_contract=False)
        answer = graph.run(encoder.encode(columns_of(rows, signature))[0])
        if signature.task == "regression":
            return np.asarray(answer.values, dtype=np.float64)
        scores = np.asarray(answer.scores)
        if signature.task == "multiclass":
            return scores
        both = [1.0 - scores, scores]
        return np.column_stack(both if signature.positive_index else both[::-1])

    def save(self, model: Any, folder: Path, trust: Trust) -> Saved:
        content = model.SerializeToString()
        refuse_external_data(content)
        (folder / FILE).write_bytes(content)
        return Saved(FILE, "onnx")

    def load(self, folder: Path, saved: Saved, trust: Trust) -> Any:
        import onnx

        content = (folder / saved.file).read_bytes()
        refuse_external_data(content)
        return onnx.load_model_from_string(content)

    def convert(self, model: Any, signature: Signature, precision: Precision) -> Converted:
        content = model.SerializeToString()
        refuse_external_data(content)
        return Converted(content, _layout(model, signature))


def _layout(model: Any, signature: Signature) -> Layout:
    constants = {c.name for c in model.graph.initializer}
    names = [i.name for i in model.graph.input if i.name not in constants]
    features = {c.name for c in signature.features}
    if set(names) <= features and names:
        return "columns"
    if len(names) == bool(signature.numbers) + bool(signature.texts):
        return "grouped"
    raise CannotBeSaved(
        f"The graph takes {', '.join(map(repr, names)) or 'nothing'}.",
        expected="one tensor of all numbers, or one input a feature: "
        + ", ".join(map(repr, sorted(features))),
    )


def _width(model: Any) -> int:
    outputs = list(model.graph.output)
    chosen = [o for o in outputs if o.name == PROBABILITIES] or outputs[-1:]
    if not chosen or not chosen[0].type.HasField("tensor_type"):
        raise CannotBeSaved(
            "The graph's last output is no tensor.",
            expected="a tensor of probabilities",
            hint="Convert with zipmap switched off.",
        )
    shape = chosen[0].type.tensor_type.shape.dim
    width = int(shape[1].dim_value) if len(shape) == 2 else 1
    return max(width, 2)


PLUGIN = OnnxFlavor()
