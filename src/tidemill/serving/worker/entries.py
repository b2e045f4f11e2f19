"""What the prediction log is told of the answers of one version: what they share, and of each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tidemill.models.inputs import picker
from tidemill.predictions.gathering import Gathering
from tidemill.predictions.records import Role
from tidemill.predictions.requests import RequestGroup
from tidemill.serving.worker.features import features_of
from tidemill.serving.worker.redaction import Redaction
from tidemill.serving.worker.rows import Inputs, Rows, matrix_of

Told = tuple[
    bytes | memoryview | None, Sequence[Any] | None, list[str | None] | None, Sequence[Any] | None
]
"""The numbers, columns, keys and redacted columns of a `LoggedRequest`."""


class Subject:
    """One version in its role at one endpoint.

    Args:
        model: The model's name.
        version: The version.
        role: Which part it plays.
        weight: How many requests one that is logged stands for.
        inputs: What the version takes.
        redaction: What of a request reaches the log; nothing where all of it does.

    Attributes:
        gathering: What was answered and is not yet with the log's writer.
    """

    def __init__(
        self,
        model: str,
        version: int,
        role: Role,
        *,
        weight: float,
        inputs: Inputs,
        redaction: Redaction | None = None,
    ) -> None:
        self._inputs = inputs
        self._redaction = redaction
        names = inputs.names
        plain = names if redaction is None else redaction.plain(names)
        self._partly = () if redaction is None else redaction.partly(names)
        self._pick = picker(plain)
        self._at = [names.index(name) for name in plain]
        types = [inputs.types[name] for name in plain]
        self.gathering = Gathering(
            RequestGroup(model, version, role, weight, list(plain), types, list(self._partly), [])
        )

    def told(self, rows: Rows) -> Told:
        """Return what is logged of a request's rows."""
        if self._redaction is not None:
            return self._redacted(self._redaction, rows)
        if rows.numbers is not None:
            return rows.numbers, None, None, None
        if rows.columns:
            return None, self._pick(rows.columns), rows.keys, None
        return _octets(matrix_of(rows)), None, rows.keys, None

    def _redacted(self, redaction: Redaction, rows: Rows) -> Told:
        left: list[Any] = []
        if self._partly:
            features = features_of(rows, self._inputs)
            left = [redaction.left(name, features[name]) for name in self._partly]
        keys = redaction.keys(self._inputs.key, rows.keys)
        if rows.columns or not self._at:
            return None, self._pick(rows.columns) if self._at else (), keys, left
        return _octets(matrix_of(rows)[:, self._at]), None, keys, left


def _octets(matrix: np.ndarray[Any, Any]) -> memoryview:
    return np.ascontiguousarray(matrix).data
