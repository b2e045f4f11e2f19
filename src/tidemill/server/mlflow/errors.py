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


_INVALID, _OURS = "KAM00", "XXM00"
_CLASSES = {
    "BAD_REQUEST": (_INVALID, "INVALID_PARAMETER_VALUE"),
    "ENDPOINT_NOT_FOUND": (_INVALID, "RESOURCE_NOT_FOUND"),
    "INTERNAL_ERROR": (_OURS, "CLIENT_INTERNAL_ERROR"),
    "INVALID_PARAMETER_VALUE": (_INVALID, "INVALID_PARAMETER_VALUE"),
    "PERMISSION_DENIED": (_INVALID, "PERMISSION_DENIED"),
    "RESOURCE_ALREADY_EXISTS": (_INVALID, "RESOURCE_ALREADY_EXISTS"),
    "RESOURCE_DOES_NOT_EXIST": (_INVALID, "RESOURCE_NOT_FOUND"),
    "TEMPORARILY_UNAVAILABLE": (_OURS, "CLIENT_INTERNAL_ERROR"),
}
"""What MLflow says beside some codes: an SQLSTATE and a class."""


class BadRequest(Usage):
    """The request is not one of MLflow's."""


class NoEndpoint(NotFound):
    """MLflow has no such route, or this door does not have it."""


class NotOffered(TidemillError):
    """The route exists in MLflow, and not here."""


class MlflowError(msgspec.Struct, frozen=True, omit_defaults=True):
    """The body of an error.

    Attributes:
        error_code: What clients tell errors apart by.
        message: For people.
        sqlstate: Says of some codes whose mistake it was.
        error_class: Says of some codes what kind of mistake it was.
    """

    error_code: str
    message: str
    sqlstate: str = ""
    error_class: str = ""

    @property
    def status(self) -> int:
        """The HTTP status that goes with the code."""
        return _STATUS[self.error_code]


def translated(error: BaseException) -> MlflowError:
    """Return an error as MLflow's client understands it.

    The client repeats what fails with 500, so nothing that is the user's doing may be one.
    """
    code = _code(error)
    what = f"Something went wrong: {type(error).__name__}."
    if isinstance(error, TidemillError):
        what = error.what
    return MlflowError(code, what, *_CLASSES.get(code, ()))


def _code(error: BaseException) -> str:
    match error:
        case NoEndpoint():
            return "ENDPOINT_NOT_FOUND"
        case NotOffered():
            return "NOT_IMPLEMENTED"
        case ExperimentExists() | ModelExists():
            return "RESOURCE_ALREADY_EXISTS"
        case NotFound():
            return "RESOURCE_DOES_NOT_EXIST"
        case Busy():
            return "TEMPORARILY_UNAVAILABLE"
        case OutOfSpace():
            return "RESOURCE_EXHAUSTED"
        case Refused():
            return "PERMISSION_DENIED"
        case TidemillError():
            return "INVALID_PARAMETER_VALUE"
    return "INTERNAL_ERROR"
