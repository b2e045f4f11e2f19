"""The seam: what a flavor must do for its framework."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import msgspec

from tidemill.models.records import Form, Label, Layout, Signature

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

Precision = Literal["double", "single"]
Trust = Literal["own", "signed", "never"]


class Saved(msgspec.Struct, frozen=True):
    """How an original was saved: the file's name and the form of it."""

    file: str
    form: Form


class Converted(msgspec.Struct, frozen=True):
    """A graph before it is checked.

    Attributes:
        graph: Its bytes.
        layout: How its inputs are handed over.
        known: The only values of a column, where the original refuses any other and a graph
            cannot.
    """

    graph: bytes
    layout: Layout
    known: dict[str, tuple[int | str, ...]] = {}


class Flavor(Protocol):
    """Saves, loads, calls and converts the models of one framework. One file each."""

    name: str

    def matches(self, model: object) -> bool:
        """Tell whether this flavor is the one for `model`, without importing the framework."""
        ...

    def classes(self, model: Any) -> tuple[Label, ...]:
        """Return a classifier's labels in the order of its probabilities."""
        ...

    def predict(self, model: Any, rows: pl.DataFrame, signature: Signature) -> NDArray[np.float64]:
        """Return probabilities of shape (n, classes), or a regression's values of shape (n,)."""
        ...

    def save(self, model: Any, folder: Path, trust: Trust) -> Saved:
        """Write the model into `folder`.

        Args:
            model: The model.
            folder: Where to.
            trust: With `never`, nothing is written that only unpickling could read.

        Raises:
            CannotBeSaved: It cannot be written, or not without pickling.
        """
        ...

    def load(self, folder: Path, saved: Saved, trust: Trust) -> Any:
        """Read a model back.

        Raises:
            NotTrusted: That would run code which the policy does not trust.
        """
        ...

    def convert(self, model: Any, signature: Signature, precision: Precision) -> Converted:
        """Return the model as an ONNX graph whose numbers have that precision.

        Raises:
            Exception: Whatever the converter raises; the message becomes the reason why the
                bundle has no twin.
        """
        ...
