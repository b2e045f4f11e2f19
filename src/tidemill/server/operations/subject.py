"""What the operations on every subject have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

import msgspec

from tidemill.core.references import Ref
from tidemill.home import Home
from tidemill.registry.records import ModelVersion
from tidemill.server.operations.jobs import Jobs

F = TypeVar("F", bound=Callable[..., Any])
CHAMPION = "champion"
USER = "user:local"
Limit = Annotated[int, msgspec.Meta(ge=1, le=100_000)]


def changes(function: F) -> F:
    """Mark an operation that changes something."""
    function.__tidemill_changes__ = True  # type: ignore[attr-defined]
    return function


class Subject:
    """Operations of an opened home. A method without a leading underscore is an operation.

    Args:
        home: The home.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self._jobs = Jobs(home.ids)
        self.serving: str | None = None
        self.workers: Callable[[], int] = lambda: 0

    def _version(self, ref: str) -> ModelVersion:
        return self._home.registry.version(Ref.parse(ref, kind="model"))

    def _endpoint_of(self, model: str) -> str:
        policy = self._home.policy.models.get(model)
        return (policy.serving.endpoint if policy else None) or model
