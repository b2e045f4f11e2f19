"""One model version, loaded and warm: takes the rows of many requests, answers them in one call.

Whatever answers for it, a graph here or a process elsewhere, plane and doors see a `Version`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from tidemill.core.clock import Clock
from tidemill.core.contract import Column
from tidemill.models.calls import Call
from tidemill.models.errors import InvalidInput
from tidemill.models.inputs import Encoder, Values
from tidemill.models.records import Manifest
from tidemill.models.runtime.pool import PoolState
from tidemill.models.session import OnnxModel, Prediction
from tidemill.serving.routes import RouteTarget
from tidemill.serving.worker.outputs import Frame, outputs_of
from tidemill.serving.worker.rows import FEW_ROWS, Inputs, Rows, together
from tidemill.serving.worker.wire import Wire


class Outcome(msgspec.Struct, frozen=True):
    """What a model says of the rows of one request: lists for few rows, arrays for many.

    Attributes:
        values: Labels or numbers, one a row.
        scores: Binary: P(positive), one a row. Multiclass: probabilities, a list a row.
        call: The call that gave it; requests of one batch share it.
    """

    values: Values
    scores: Values | None
    call: Call


class Version:
    """What plane and doors know of a loaded version.

    Args:
        target: Which version it is.
        manifest: Of its bundle.
        encoder: Checks its rows and puts them into the model's form.
        together: Whether it checks matrices itself, those of many requests at once.
    """

    def __init__(
        self,
        target: RouteTarget,
        manifest: Manifest,
        encoder: Encoder,
        *,
        together: bool = False,
    ) -> None:
        self.model = target.model
        self.number = target.version
        self.bundle = target.bundle
        self.signature = manifest.signature
        self.outputs = outputs_of(manifest.signature)
        self.frame = Frame(self.outputs, target.version)
        self.wire = Wire(self.outputs, target.version)
        self.inputs = Inputs(manifest.signature, manifest.contract, encoder, together=together)
        self._positive_first = self.signature.positive_index == 0

    def probabilities(self, scores: Values) -> Values:
        """Return one list a row with a probability a class, in the order of the classes."""
        if self.signature.task == "multiclass":
            return scores
        if isinstance(scores, np.ndarray):
            pair = (scores, 1.0 - scores) if self._positive_first else (1.0 - scores, scores)
            return np.stack(pair, axis=1)
        if self._positive_first:
            return [[s, 1.0 - s] for s in scores]
        return [[1.0 - s, s] for s in scores]

    def state(self) -> PoolState | None:
        """Tell how the processes of its model fare, where it has any of its own."""
        return None

    def example(self) -> Rows:
        """Return a row that its contract allows, to warm it up with."""
        return self.inputs.rows({c.name: [example(c)] for c in self.signature.features})


class TwinVersion(Version):
    """A version that answers with its ONNX twin, in this process.

    Args:
        folder: The bundle.
        target: Which version it is.
        clock: Tells durations.
        refuse_out_of_contract: Whether values outside the contract are refused.

    Raises:
        TidemillError: The bundle is missing, damaged, or has no twin.
    """

    def __init__(
        self,
        folder: Path,
        target: RouteTarget,
        clock: Clock,
        *,
        refuse_out_of_contract: bool = True,
    ) -> None:
        self._clock = clock
        self._onnx = OnnxModel(folder, refuse_out_of_contract=refuse_out_of_contract)
        super().__init__(target, self._onnx.manifest, self._onnx.encoder, together=True)
        self._warm_up()

    def answer(self, requests: Sequence[Rows]) -> list[Outcome | Exception]:
        """Answer many requests in one call; one that fails takes none of the others with it."""
        began = self._clock.monotonic()
        try:
            matrices = together(requests)
            self.inputs.check(matrices)
            prediction = self._onnx.run(matrices)
        except Exception as error:
            if len(requests) == 1:
                return [error]
            if isinstance(error, InvalidInput):
                return self._answer_the_valid(requests)
            return [outcome for request in requests for outcome in self.answer([request])]
        call = Call(began, self._clock.monotonic() - began)
        return apart(prediction, requests, call)

    def _answer_the_valid(self, requests: Sequence[Rows]) -> list[Outcome | Exception]:
        """Refuse what does not fit, and answer the rest in one call."""
        refused: dict[int, Exception] = {}
        for number, request in enumerate(requests):
            try:
                self.inputs.check(together([request]))
            except InvalidInput as error:
                refused[number] = error
        valid = [r for number, r in enumerate(requests) if number not in refused]
        answers = iter(self.answer(valid) if valid else ())
        return [refused[n] if n in refused else next(answers) for n in range(len(requests))]

    def _warm_up(self) -> None:
        """Run the graph once, so that the first request finds everything in place."""
        (outcome,) = self.answer([self.example()])
        if isinstance(outcome, Exception):
            raise outcome


_EXAMPLES = {
    "string": "text",
    "bool": False,
    "datetime": "2013-02-01T06:30:00Z",
    "date": "2013-02-01",
}


def example(column: Column) -> Any:
    """Return a value that a column's contract allows."""
    if column.values:
        return column.values[0]
    if column.type in _EXAMPLES:
        return _EXAMPLES[column.type]
    low = 0.0 if column.min is None else column.min
    value = low if column.max is None else min(low, column.max)
    return int(np.ceil(value)) if column.type == "int" else value


def apart(
    prediction: Prediction, requests: Sequence[Rows], call: Call
) -> list[Outcome | Exception]:
    """Part an answer among the requests whose rows were put together."""
    if len(requests) == 1 and requests[0].count > FEW_ROWS:
        return [Outcome(prediction.values, prediction.scores, call)]
    values = prediction.values.tolist()
    scores = None if prediction.scores is None else prediction.scores.tolist()
    if len(requests) == 1:
        return [Outcome(values, scores, call)]
    outcomes: list[Outcome | Exception] = []
    start = 0
    for request in requests:
        end = start + request.count
        part = None if scores is None else scores[start:end]
        outcomes.append(Outcome(values[start:end], part, call))
        start = end
    return outcomes
