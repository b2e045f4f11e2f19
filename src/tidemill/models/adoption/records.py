"""What MLflow says of a model, as far as it takes to run it."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidemill.core.contract import Column, Contract
from tidemill.models.records import Label

FOLDER = "model"
"""Where MLflow's own files lie in the bundle."""
ADOPTED = "adopted.json"
Kind = Literal["sklearn", "xgboost", "lightgbm", "pyfunc"]


class Adopted(msgspec.Struct, frozen=True, kw_only=True):
    """How a process loads the model and hands rows over to it.

    Attributes:
        kind: Which library loads it; `pyfunc` leaves that to MLflow.
        file: The model's file, relative to MLflow's folder.
        format: How the file was written.
        class_name: The class of an estimator that is kept in its framework's own form.
        trusted: Types that skops may load beyond those that it knows.
        types: The columns' types as NumPy names them, in the order of the features.
        tensor: Whether the model takes an array instead of a table.
        code: The folder with modules of the user's own, where there is one.
        classes: A classifier's labels, where MLflow's metadata names them.
    """

    kind: Kind
    file: str = ""
    format: str = ""
    class_name: str = ""
    trusted: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    tensor: bool = False
    code: str | None = None
    classes: tuple[Label, ...] = ()


class Described(msgspec.Struct, frozen=True, kw_only=True):
    """A model as its `MLmodel` describes it.

    Attributes:
        adopted: How it is run.
        columns: What goes in.
        python: The version of Python that made it.
        requirements: What it needs, as its requirements.txt says it.
        example: The path of the rows that were logged with it, or nothing.
    """

    adopted: Adopted
    columns: tuple[Column, ...]
    python: str
    requirements: tuple[str, ...]
    example: str | None = None

    @property
    def contract(self) -> Contract:
        """What requests are held to."""
        return Contract(columns=self.columns)
