"""What a bundle says of its model."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tidemill.core.contract import Column, Contract
from tidemill.core.tasks import Task

Label = bool | int | str
Layout = Literal["grouped", "columns"]
Form = Literal["skops", "pickle", "onnx", "native", "mlflow"]
FORMAT = 1


class Signature(msgspec.Struct, frozen=True, kw_only=True, cache_hash=True):
    """What goes into a model and what comes out.

    Attributes:
        features: The columns, in the order in which the model was trained on them.
        task: What the model does.
        classes: The labels in the order of the model's probabilities; nothing for regression.
        positive: The label that counts as yes; binary only.
        threshold: The probability of `positive` from which the answer is yes; binary only.
    """

    features: tuple[Column, ...]
    task: Task
    classes: tuple[Label, ...] = ()
    positive: Label | None = None
    threshold: float = 0.5

    @property
    def numbers(self) -> tuple[Column, ...]:
        """The features that reach the model as numbers: all but strings."""
        return tuple(c for c in self.features if c.type != "string")

    @property
    def texts(self) -> tuple[Column, ...]:
        """The features that reach the model as strings."""
        return tuple(c for c in self.features if c.type == "string")

    @property
    def positive_index(self) -> int:
        """Where the positive class stands among the classes; 0 where there is none."""
        return 0 if self.positive is None else self.classes.index(self.positive)

    @property
    def negative(self) -> Label | None:
        """The other class of a binary model."""
        others = [c for c in self.classes if c != self.positive]
        return others[0] if self.task == "binary" and others else None


class FileEntry(msgspec.Struct, frozen=True):
    """One file of a bundle: relative path, size in bytes, SHA-256."""

    path: str
    size: int
    digest: str


class Parity(msgspec.Struct, frozen=True, kw_only=True):
    """How the twin's answers compare with the original's, row by row.

    Attributes:
        rows: How many held-out rows were compared.
        probes: How many made-up rows were: missing values, unheard-of strings, extremes.
        max_difference: The largest difference of a probability, or of a regression's value
            relative to its standard deviation.
        differing: How many rows differ by more than `tolerance`.
        label_mismatches: How many predicted labels differ.
        tolerance: The difference that counts as one.
    """

    rows: int
    probes: int = 0
    max_difference: float
    differing: int
    label_mismatches: int
    tolerance: float

    @property
    def verified(self) -> bool:
        """Whether the twin may stand in for the original."""
        return self.rows > 0 and self.differing == 0 and self.label_mismatches == 0


class Twin(msgspec.Struct, frozen=True, kw_only=True):
    """The ONNX twin of a model.

    Attributes:
        file: The path of the graph in the bundle.
        layout: `grouped`: one float64 input with a column a number and, where there are strings,
            one string input with a column a string; `columns`: one input a feature, by name.
        parity: How it was checked.
    """

    file: str
    layout: Layout
    parity: Parity


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle is: the first file read, and the only one that is trusted to name others.

    Attributes:
        format: The version of the layout of bundles.
        name: The model's name.
        flavor: The framework's plugin name.
        original: The path of the saved original, or nothing.
        saved_as: How the original was saved; `native` is its framework's own form, without code,
            and `mlflow` a folder as MLflow writes it, which may hold anything.
        signature: What goes in and comes out.
        contract: What requests are held to.
        twin: The ONNX twin, or nothing.
        no_twin: Why there is none.
        files: Every file but the manifest.
        created: When it was packed.
        libraries: The versions of the libraries that made it.
    """

    name: str
    flavor: str
    signature: Signature
    contract: Contract
    files: tuple[FileEntry, ...]
    created: datetime
    original: str | None = None
    saved_as: Form | None = None
    twin: Twin | None = None
    no_twin: str | None = None
    libraries: dict[str, str] = {}
    format: int = FORMAT
