"""Any Python function or object that answers for rows: pickled, served apart, without a twin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tidemill.models.pickling import pickled, unpickled
from tidemill.models.protocol import Converted, Precision, Saved, Trust
from tidemill.models.records import Label, Signature

if TYPE_CHECKING:
    import polars as pl


class PythonFlavor:
    """What is no framework's model, but can be asked.

    An object answers with `predict_proba(rows)` or, for a regression, `predict(rows)`; a function
    with what it returns. A classifier names its labels in `classes_` (a function may carry it as
    an attribute). Probabilities of a binary classifier may be P(second class) alone.
    """

    name = "python"

    def matches(self, model: object) -> bool:
        if isinstance(model, type):
            return False
        return callable(model) or hasattr(model, "predict_proba") or hasattr(model, "predict")

    def classes(self, model: Any) -> tuple[Label, ...]:
        named: Sequence[Any] = getattr(model, "classes_", ())
        return tuple(c.item() if hasattr(c, "item") else c for c in named)

    def predict(self, model: Any, rows: pl.DataFrame, signature: Signature) -> NDArray[np.float64]:
        verb = "predict" if signature.task == "regression" else "predict_proba"
        ask = getattr(model, verb, model)
        answer = np.asarray(ask(rows), dtype=np.float64)
        if signature.task == "regression":
            return answer.reshape(-1)
        if len(signature.classes) == 2 and answer.ndim == 1:
            return np.column_stack([1.0 - answer, answer])
        return answer

    def save(self, model: Any, folder: Path, trust: Trust) -> Saved:
        return pickled(model, folder, trust)

    def load(self, folder: Path, saved: Saved, trust: Trust) -> Any:
        return unpickled(folder / saved.file, trust)

    def convert(self, model: Any, signature: Signature, precision: Precision) -> Converted:
        raise ValueError("a Python function has no counterpart among ONNX's operators")


PLUGIN = PythonFlavor()
