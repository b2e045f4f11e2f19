"""A bundle's ONNX twin, ready to answer. Part of the hot path: NumPy and ONNX Runtime only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from tidemill.models.bundle import open_bundle
from tidemill.models.errors import NoTwin
from tidemill.models.inputs import Columns, Encoder
from tidemill.models.records import Manifest, Signature, Twin

MATRIX = "x"
"""The name of the one input of a graph in the `matrix` layout."""
PROBABILITIES = "probabilities"


class Prediction(msgspec.Struct, frozen=True):
    """What a model says of some rows.

    Attributes:
        values: The predicted labels (classes) or numbers, one a row.
        scores: Binary: P(positive), shape (n,). Multiclass: probabilities, shape (n, classes).
            Regression: nothing.
    """

    values: NDArray[Any]
    scores: NDArray[np.float64] | None


class Graph:
    """An ONNX graph in one of the two layouts, without any checks of its inputs.

    Args:
        model: The graph's bytes or path.
        signature: Says how to read the outputs.
        layout: How inputs are handed over.
        threads: How many threads one call may use.
    """

    def __init__(
        self, model: bytes | Path, signature: Signature, layout: str, *, threads: int = 1
    ) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        source = model if isinstance(model, bytes) else str(model)
        self._session = onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"]
        )
        self._signature = signature
        self._matrix = layout == "matrix"
        inputs = self._session.get_inputs()
        self._names = [i.name for i in inputs]
        self._single = frozenset(i.name for i in inputs if i.type == "tensor(float)")
        outputs = [o.name for o in self._session.get_outputs()]
        self._outputs = [o for o in outputs if o == PROBABILITIES] or outputs[-1:]
        self._order = [c.name for c in signature.features]
        self._classes = _class_array(signature)

    def run(self, arrays: list[NDArray[Any]]) -> Prediction:
        """Predict from one array a feature, in the order of the signature."""
        if self._matrix:
            feeds = {self._names[0]: np.column_stack(arrays)}
        else:
            by_name = dict(zip(self._order, arrays, strict=True))
            feeds = {name: by_name[name].reshape(-1, 1) for name in self._names}
        for name in self._single:
            feeds[name] = feeds[name].astype(np.float32)
        return self._read(self._session.run(self._outputs, feeds)[0])

    def _read(self, output: NDArray[Any]) -> Prediction:
        signature = self._signature
        if signature.task == "regression":
            return Prediction(output.reshape(-1).astype(np.float64), None)
        probabilities = output.astype(np.float64)
        if signature.task == "multiclass":
            return Prediction(self._classes[probabilities.argmax(axis=1)], probabilities)
        return Prediction(*_binary(signature, self._classes, probabilities))


class OnnxModel:
    """A bundle opened for serving: checks the columns of a request and answers.

    Args:
        folder: The bundle.
        threads: How many threads one call may use.
        verify: Whether every file is checked against the manifest first.
        refuse_out_of_contract: Whether values outside the contract are refused.

    Raises:
        NoTwin: The bundle has no verified twin.
        BundleDamaged: A file is not the one that the manifest names.
    """

    def __init__(
        self,
        folder: Path,
        *,
        threads: int = 1,
        verify: bool = True,
        refuse_out_of_contract: bool = True,
    ) -> None:
        self.manifest: Manifest = open_bundle(folder, verify=verify)
        twin = _twin(self.manifest)
        self.signature = self.manifest.signature
        self.encoder = Encoder(self.signature, refuse_out_of_contract=refuse_out_of_contract)
        self._graph = Graph(folder / twin.file, self.signature, twin.layout, threads=threads)

    def predict(self, columns: Columns) -> Prediction:
        """Answer for the rows of a request.

        Raises:
            InvalidInput: The columns do not fit the signature.
        """
        arrays, _ = self.encoder.encode(columns)
        return self._graph.run(arrays)

    def run(self, arrays: list[NDArray[Any]]) -> Prediction:
        """Answer for rows that the encoder has checked before."""
        return self._graph.run(arrays)


def _twin(manifest: Manifest) -> Twin:
    if manifest.twin is None:
        raise NoTwin(
            f"The bundle of {manifest.name!r} has no ONNX twin: {manifest.no_twin}.",
            hint="Use an estimator that converts, or see `tidemill models show`.",
        )
    return manifest.twin


def _class_array(signature: Signature) -> NDArray[Any]:
    classes = signature.classes
    if classes and all(isinstance(c, str) for c in classes):
        return np.array(classes, dtype=object)
    return np.array(classes)


def _binary(
    signature: Signature, classes: NDArray[Any], probabilities: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[np.float64]]:
    yes = signature.positive_index
    scores = probabilities[:, yes]
    chosen = np.where(scores >= signature.threshold, yes, 1 - yes)
    return classes[chosen], scores
