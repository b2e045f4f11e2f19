"""A bundle's ONNX twin, ready to answer. Part of the hot path: NumPy and ONNX Runtime only."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.models.bundle import open_bundle
from tidemill.models.errors import BundleDamaged, NoTwin
from tidemill.models.external import refuse_external_data
from tidemill.models.inputs import Columns, Encoder
from tidemill.models.records import Label, Layout, Manifest, Signature, Twin

if TYPE_CHECKING:
    import onnxruntime

PROBABILITIES = "probabilities"
"""The output that is read where a graph has several."""
_KINDS: dict[str, type[np.generic]] = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(bool)": np.bool_,
}


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

    Raises:
        BundleDamaged: ONNX Runtime cannot read the graph.
    """

    def __init__(
        self, model: bytes | Path, signature: Signature, layout: Layout, *, threads: int = 1
    ) -> None:
        self._session = _open(model, threads)
        inputs = self._session.get_inputs()
        self._names = [i.name for i in inputs]
        self._cast = {i.name: _KINDS[i.type] for i in inputs if i.type in _KINDS}
        self._grouped = layout == "grouped"
        self._columns = _positions(signature)
        outputs = [o.name for o in self._session.get_outputs()]
        self._outputs = [o for o in outputs if o == PROBABILITIES] or outputs[-1:]
        self._read: Callable[[NDArray[Any]], Prediction] = read_answer(signature)

    def run(self, matrices: list[NDArray[Any]]) -> Prediction:
        """Predict from the matrices that the encoder made."""
        if self._grouped:
            feeds = dict(zip(self._names, matrices, strict=True))
        else:
            feeds = {name: self._column(matrices, name) for name in self._names}
        for name, kind in self._cast.items():
            feeds[name] = feeds[name].astype(kind, copy=False)
        return self._read(self._session.run(self._outputs, feeds)[0])

    def _column(self, matrices: list[NDArray[Any]], name: str) -> NDArray[Any]:
        group, at = self._columns[name]
        return np.ascontiguousarray(matrices[group][:, at : at + 1])


def _open(model: bytes | Path, threads: int) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    content = model if isinstance(model, bytes) else model.read_bytes()
    refuse_external_data(content)
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime's errors share no base but this
        raise BundleDamaged(
            f"ONNX Runtime cannot read the graph: {str(error).strip().splitlines()[0][:300]}",
            expected="an ONNX file without external data, with operators that it knows",
        ) from error


def _positions(signature: Signature) -> dict[str, tuple[int, int]]:
    """Where the encoder puts each column: which matrix, and which column of it."""
    texts = 1 if signature.numbers else 0
    numbers = {c.name: (0, at) for at, c in enumerate(signature.numbers)}
    return numbers | {c.name: (texts, at) for at, c in enumerate(signature.texts)}


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
        matrices, _ = self.encoder.encode(columns)
        return self._graph.run(matrices)

    def run(self, matrices: list[NDArray[Any]]) -> Prediction:
        """Answer for rows that the encoder has checked before.

        Requests are put together by concatenating their matrices along the first axis.
        """
        return self._graph.run(matrices)


def _twin(manifest: Manifest) -> Twin:
    if manifest.twin is None:
        raise NoTwin(
            f"The bundle of {manifest.name!r} has no ONNX twin: {manifest.no_twin}.",
            hint="Use an estimator that converts, or see `tidemill models show`.",
        )
    return manifest.twin


def read_answer(signature: Signature) -> Callable[[NDArray[Any]], Prediction]:
    """Return what turns a graph's output into labels and scores."""
    if signature.task == "regression":
        return lambda output: Prediction(output.reshape(-1).astype(np.float64, copy=False), None)
    classes = _class_array(signature.classes)
    if signature.task == "multiclass":
        return lambda output: _multiclass(classes, output)
    answers = _class_array((signature.negative, signature.positive))
    yes, threshold = signature.positive_index, signature.threshold

    def binary(output: NDArray[Any]) -> Prediction:
        if output.ndim == 2 and output.shape[1] == 2:
            scores = output[:, yes].astype(np.float64)
        else:  # one column is the probability of the second class
            scores = output.reshape(-1).astype(np.float64, copy=False)
            scores = scores if yes else 1.0 - scores
        return Prediction(answers[(scores >= threshold).view(np.int8)], scores)

    return binary


def _multiclass(classes: NDArray[Any], output: NDArray[Any]) -> Prediction:
    probabilities = output.astype(np.float64, copy=False)
    return Prediction(classes[probabilities.argmax(axis=1)], probabilities)


def _class_array(classes: Sequence[Label | None]) -> NDArray[Any]:
    if any(isinstance(c, str) for c in classes):
        return np.array(classes, dtype=object)
    return np.array(classes)
