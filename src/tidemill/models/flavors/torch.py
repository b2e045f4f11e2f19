"""PyTorch: modules that take one tensor of numbers, converted by torch's own exporter.

A module is given the features in order, as single-precision numbers with a row each. It answers
with a regression's values, or with probabilities (not logits): one column a class, or P(second
class) alone; a classifier carries its labels as the attribute `classes_`.
"""

from __future__ import annotations

import io
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tidemill.models.pickling import pickled, unpickled
from tidemill.models.protocol import Converted, Precision, Saved, Trust
from tidemill.models.records import Label, Signature

if TYPE_CHECKING:
    import polars as pl

_ROWS = 2
"""An example of one row would be taken for a model that never sees more."""


class TorchFlavor:
    """A `torch.nn.Module`."""

    name = "torch"

    def matches(self, model: object) -> bool:
        torch = sys.modules.get("torch")
        return torch is not None and isinstance(model, torch.nn.Module)

    def classes(self, model: Any) -> tuple[Label, ...]:
        named = getattr(model, "classes_", ())
        return tuple(c.item() if hasattr(c, "item") else c for c in named)

    def predict(self, model: Any, rows: pl.DataFrame, signature: Signature) -> NDArray[np.float64]:
        import torch

        asked = rows.select(c.name for c in signature.features)
        matrix = np.asarray(asked.to_numpy(), dtype=np.float32)
        model.eval()
        with torch.no_grad():
            answer = model(torch.from_numpy(np.ascontiguousarray(matrix)))
        said = np.asarray(answer.detach().cpu().numpy(), dtype=np.float64)
        if signature.task == "regression":
            return said.reshape(-1)
        if said.ndim == 1 or said.shape[1] == 1:
            yes = said.reshape(-1)
            said = np.column_stack([1.0 - yes, yes])
        _check_probabilities(said)
        return said

    def save(self, model: Any, folder: Path, trust: Trust) -> Saved:
        return pickled(model.eval(), folder, trust)

    def load(self, folder: Path, saved: Saved, trust: Trust) -> Any:
        return unpickled(folder / saved.file, trust)

    def convert(self, model: Any, signature: Signature, precision: Precision) -> Converted:
        import torch

        if signature.texts:
            raise ValueError("a PyTorch module takes numbers, and there are columns of strings")
        example = torch.zeros(_ROWS, len(signature.features))
        output = "prediction" if signature.task == "regression" else "probabilities"
        graph = io.BytesIO()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                model.eval(),
                (example,),
                input_names=["rows"],
                output_names=[output],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                dynamo=True,
                verbose=False,
            )
            program.save(graph)
        return Converted(graph.getvalue(), "grouped")


def _check_probabilities(said: NDArray[np.float64]) -> None:
    """Refuse logits, which would be taken for probabilities without a word."""
    if not ((said >= 0.0) & (said <= 1.0)).all():
        raise ValueError(
            f"the module answered {said.min():.3g} to {said.max():.3g}, which are no probabilities;"
            " end it with Sigmoid or Softmax"
        )


PLUGIN = TorchFlavor()
