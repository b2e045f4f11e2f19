"""One model version, loaded and warm: takes the rows of many requests, answers them in one call."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.models.errors import InvalidInput
from tidemill.models.session import OnnxModel, Prediction
from tidemill.serving.routes import RouteTarget
from tidemill.serving.worker.rows import Inputs, Rows


class Outcome(msgspec.Struct, frozen=True):
    """What a model says of the rows of one request.

    Attributes:
        values: Labels or numbers, one a row.
        scores: Binary: P(positive), one a row. Multiclass: probabilities, a list a row.
    """

    values: list[Any]
    scores: list[Any] | None


class Version:
    """A loaded version.

    Args:
        folder: The bundle.
        target: Which version it is.
        refuse_out_of_contract: Whether values outside the contract are refused.

    Raises:
        TidemillError: The bundle is missing, damaged, or has no twin.
    """

    def __init__(
        self, folder: Path, target: RouteTarget, *, refuse_out_of_contract: bool = True
    ) -> None:
        self.model = target.model
        self.number = target.version
        self.bundle = target.bundle
        self._onnx = OnnxModel(folder, refuse_out_of_contract=refuse_out_of_contract)
        self.signature = self._onnx.signature
        self.created = self._onnx.manifest.created
        self.inputs = Inputs(self.signature, self._onnx.manifest.contract)
        self._order = _probability_order(self._onnx)
        self._warm_up()

    def answer(self, requests: Sequence[Rows]) -> list[Outcome | Exception]:
        """Answer many requests in one call; a bad one spoils none of the others."""
        try:
            return self._answer(requests)
        except Exception as error:
            if len(requests) == 1:
                return [error]
        # Somebody's rows are wrong: each has its own call now, and its own answer.
        return [outcome for request in requests for outcome in self.answer([request])]

    def probabilities(self, scores: list[Any]) -> list[list[float]]:
        """Return one list a row with a probability a class, in the order of the classes."""
        if self.signature.task == "multiclass":
            return scores
        return [[1.0 - s, s] if self._order == 1 else [s, 1.0 - s] for s in scores]

    def features(self, rows: Rows) -> dict[str, list[Any]]:
        """Return the rows by feature, as the log keeps them."""
        names = self.inputs.names
        if rows.row is not None:
            return {name: [value] for name, value in zip(names, rows.row, strict=True)}
        if rows.matrix is not None:
            return dict(zip(names, rows.matrix.T.tolist(), strict=True))
        return rows.columns or {}

    def _answer(self, requests: Sequence[Rows]) -> list[Outcome | Exception]:
        if self._onnx.matrix is None:
            prediction = self._onnx.predict(_gathered(requests))
        else:
            matrix = _stacked(requests)
            self._onnx.matrix.check(matrix)
            prediction = self._onnx.run_matrix(matrix)
        return _split(prediction, requests)

    def _warm_up(self) -> None:
        """Run the graph once, so that the first request finds everything in place."""
        columns: dict[str, list[Any]] = {
            c.name: [c.values[0] if c.values else _EXAMPLE.get(c.type, 0.0)]
            for c in self.signature.features
        }
        self.answer([self.inputs.rows(columns)])


_EXAMPLE: dict[str, Any] = {"string": "", "bool": False}


def _probability_order(onnx: OnnxModel) -> int:
    return onnx.signature.positive_index


def _stacked(requests: Sequence[Rows]) -> NDArray[np.float64]:
    if len(requests) == 1 and requests[0].matrix is not None:
        return requests[0].matrix
    if all(r.row is not None for r in requests):
        return _numbers([r.row for r in requests])
    return np.concatenate([_numbers([r.row]) if r.matrix is None else r.matrix for r in requests])


def _numbers(rows: list[Any]) -> NDArray[np.float64]:
    try:
        return np.array(rows, dtype=np.float64)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidInput("The rows hold what are no numbers.", expected="numbers") from error


def _gathered(requests: Sequence[Rows]) -> dict[str, list[Any]]:
    first = requests[0].columns or {}
    if len(requests) == 1:
        return first
    return {name: [v for r in requests for v in (r.columns or {})[name]] for name in first}


def _split(prediction: Prediction, requests: Sequence[Rows]) -> list[Outcome | Exception]:
    values = prediction.values.tolist()
    scores = None if prediction.scores is None else prediction.scores.tolist()
    if len(requests) == 1:
        return [Outcome(values, scores)]
    outcomes: list[Outcome | Exception] = []
    start = 0
    for request in requests:
        end = start + request.count
        outcomes.append(Outcome(values[start:end], None if scores is None else scores[start:end]))
        start = end
    return outcomes
