"""Errors in MLflow's words: a code, a status and a message."""

from __future__ import annotations

import msgspec

from tidemill.core.errors import Busy, NotFound, OutOfSpace, Refused, TidemillError, Usage
from tidemill.registry.errors import ModelExists
from tidemill.tracking.errors import ExperimentExists

_STATUS = {
    "INVALID_PARAMETER_VALUE": 400,
    "BAD_REQUEST": 400,
    "RESOURCE_ALREADY_EXISTS": 400,
    "PERMISSION_DENIED": 403,
    "RESOURCE_DOES_NOT_EXIST": 404,
    "ENDPOINT_NOT_FOUND": 404,
    "NOT_IMPLEMENTED": 501,
    "TEMPORARILY_UNAVAILABLE": 503,
    "RESOURCE_EXHAUSTED": 507,
    "INTERNAL_ERROR": 500,
}


class BadRequest(Usage):
    """The request is not one of MLflow's."""


class NoEndpoint(NotFound):
    """MLflow has no such route, or this door does not have it."""


class NotOffered(TidemillError):
    """The route exists in MLflow, and not here."""


class MlflowError(msgspec.Struct, frozen=True):
    """The body of an error."""

    error_code: str
    message: str

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return _STATUS[self.error_code]


def translated(error: BaseException) -> MlflowError:
    """Return an error as MLflow's client understands it.

    The client repeats what fails with 500, so nothing that is the user's doing may be one.
    """
    match error:
        case NoEndpoint():
            return MlflowError("ENDPOINT_NOT_FOUND", error.what)
        case NotOffered():
            return MlflowError("NOT_IMPLEMENTED", error.what)
        case ExperimentExists() | ModelExists():
            return MlflowError("RESOURCE_ALREADY_EXISTS", error.what)
        case NotFound():
            return MlflowError("RESOURCE_DOES_NOT_EXIST", error.what)
        case Busy():
            return MlflowError("TEMPORARILY_UNAVAILABLE", error.what)
        case OutOfSpace():
            return MlflowError("RESOURCE_EXHAUSTED", error.what)
        case Refused():
            return MlflowError("PERMISSION_DENIED", error.what)
        case TidemillError():
            return MlflowError("INVALID_PARAMETER_VALUE", error.what)
    return MlflowError("INTERNAL_ERROR", f"Something went wrong: {type(error).__name__}.")
