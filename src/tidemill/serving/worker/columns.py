"""The types of what is going to be logged, told by the versions that are served."""

from __future__ import annotations

from tidemill.core.contract import ColumnType
from tidemill.models.records import Signature
from tidemill.predictions.records import Described
from tidemill.serving.worker.version import Version

_ANSWERS: dict[type, ColumnType] = {bool: "bool", int: "int", float: "float", str: "string"}


def described(version: Version) -> Described:
    """Return the types of a version's columns and answers."""
    return Described(
        model=version.model,
        version=version.number,
        features=dict(version.inputs.types),
        prediction=_answer_type(version.signature),
    )


def _answer_type(signature: Signature) -> ColumnType | None:
    """Return the type of a model's answers; nothing where its classes have several."""
    if signature.task == "regression":
        return "float"
    kinds = {type(label) for label in signature.classes}
    return _ANSWERS.get(kinds.pop()) if len(kinds) == 1 else None
