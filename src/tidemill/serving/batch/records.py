"""What batch scoring hands out."""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Invalid = Literal["refuse", "mark"]
Keep = Literal["keys", "all"]


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of rows with the model's answers, in the order of the input.

    Attributes:
        ids: The predictions' ids.
        rows: The input's columns.
        values: The predicted labels or numbers.
        scores: Binary: P(positive). Multiclass: a row of probabilities. Regression: nothing.
        problems: Row by row what is wrong with it, or nothing; its value and score mean nothing.
    """

    ids: pa.Array
    rows: pa.RecordBatch
    values: NDArray[Any]
    scores: NDArray[np.float64] | None
    problems: dict[int, str]


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was done.

    Attributes:
        model: The model's name.
        files: The files that were read.
        output: The file that was written.
        rows: How many rows were read.
        invalid: How many of them do not fit the contract, and were marked.
        seconds: How long it took.
        threads: How many threads worked.
    """

    model: str
    files: tuple[str, ...]
    output: str
    rows: int
    invalid: int
    seconds: float
    threads: int

    @property
    def rows_per_second(self) -> float:
        """The speed."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0
