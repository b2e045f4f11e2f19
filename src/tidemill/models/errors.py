"""What can go wrong with models."""

from __future__ import annotations

from typing import Literal

from tidemill.core.errors import (
    Busy,
    Conflict,
    InvalidData,
    NotFound,
    Refused,
    TidemillError,
    UserCodeFailed,
)


class ModelsError(TidemillError):
    """The branch of everything that goes wrong with models."""


Rule = Literal["missing", "absent", "type", "range", "set", "form"]


class InvalidInput(ModelsError, InvalidData):
    """A request's values do not fit the model's signature.

    Attributes:
        column: Which column, where it is one.
        rule: Which rule of the contract is broken: `missing`, `absent`, `type`, `range`, `set`;
            `form` where the request itself is not as it should be. What is said of a column and
            nothing else is its type.
    """

    def __init__(
        self,
        what: str,
        *,
        column: str = "",
        rule: Rule | None = None,
        expected: str = "",
        hint: str = "",
    ) -> None:
        super().__init__(what, expected=expected, hint=hint)
        self.column = column
        self.rule: Rule = rule or ("type" if column else "form")


class BundleNotFound(ModelsError, NotFound):
    """There is no bundle in that folder."""


class BundleDamaged(ModelsError, InvalidData):
    """A bundle's files are not those that its manifest names."""


class CannotBeSaved(ModelsError, UserCodeFailed):
    """The object that the training function returned cannot be packed."""


class NotTrusted(ModelsError, Refused):
    """Loading the model would run code that the policy does not trust."""


class NoTwin(ModelsError, NotFound):
    """The model has no verified ONNX twin."""


class NotSigned(ModelsError, Refused):
    """The policy demands a signature, and there is none that counts."""


class KeyUnusable(ModelsError, InvalidData):
    """A file holds no key that can sign."""


class EnvironmentNotBuilt(ModelsError, Conflict):
    """The environment that a model needs cannot be made here."""


class ModelNotLoaded(ModelsError, UserCodeFailed):
    """A child process could not load its model."""


class ModelRaised(ModelsError, UserCodeFailed):
    """The model raised, or answered with something that cannot be used."""


class ChildEnded(ModelsError, UserCodeFailed):
    """The model's process ended while it was answering."""


class TooSlow(ModelsError, UserCodeFailed):
    """The model did not answer in time, and its process was replaced."""


class TooBusy(ModelsError, Busy):
    """More rows are waiting for the model than may."""


class NoChild(ModelsError, Busy):
    """No process of the model is alive at the moment."""


class CannotBeAdopted(ModelsError, InvalidData):
    """The files that another program logged cannot be served as they are."""
