"""How MLflow writes moments, states and sources, in the words of this house."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any, cast

from tidemill.core.clock import EPOCH, from_micros
from tidemill.exchange.errors import BadSource
from tidemill.registry.records import STAGES, Stage, VersionStatus
from tidemill.tracking.records import Lifecycle, ModelStatus, RunStatus

NAME_TAG = "mlflow.runName"
PARENT_TAG = "mlflow.parentRunId"
USER_TAG = "mlflow.user"
DELETED_STAGE = "Deleted_Internal"
_RUN = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
_MODEL = ("PENDING", "READY", "FAILED")
_LOGGED = re.compile(r"models:/+(m-[A-Za-z0-9]{1,32})/?")


def moment(millis: Any) -> datetime:
    """Return milliseconds since 1970 as a moment; the beginning of time where there are none.

    Example:
        >>> moment(1_500).isoformat()
        '1970-01-01T00:00:01.500000+00:00'
    """
    return maybe_moment(millis) or EPOCH


def maybe_moment(millis: Any) -> datetime | None:
    """Return milliseconds since 1970 as a moment, or nothing where there are none."""
    if millis is None:
        return None
    try:
        return from_micros(int(millis) * 1000)
    except (ValueError, TypeError, OverflowError) as error:
        raise BadSource(
            f"{str(millis)[:100]!r} is no moment.", expected="milliseconds since 1970"
        ) from error


def run_status(status: Any) -> RunStatus:
    """Return how a run stands, from its name or from its number in old files.

    Example:
        >>> run_status(3), run_status("KILLED")
        ('FINISHED', 'KILLED')
    """
    return cast("RunStatus", _one_of(_RUN, status, "status of a run"))


def model_status(status: Any) -> ModelStatus:
    """Return how a logged model stands, from its name or number."""
    text = str(status).removeprefix("LOGGED_MODEL_").removesuffix("_UPLOAD")
    named = text.replace("UPLOAD_FAILED", "FAILED")
    return cast("ModelStatus", _one_of(_MODEL, named, "status of a logged model"))


def lifecycle(stage: Any) -> Lifecycle:
    """Return whether something is deleted."""
    return "deleted" if stage == "deleted" else "active"


def version_status(status: Any) -> VersionStatus:
    """Return whether a version may be used: one whose files never came may not."""
    return "ready" if status in {None, "", "READY", 1} else "rejected"


def stage(name: Any) -> Stage:
    """Return MLflow's stage of a version."""
    return cast("Stage", name) if name in STAGES else "None"


def actor(user: Any) -> str:
    """Return who did something, as the journal has it."""
    return f"user:{user or 'unknown'}"[:200]


def logged_model_of(source: str) -> str | None:
    """Return the logged model that a version's source names, or nothing.

    Example:
        >>> logged_model_of("models:/m-0123"), logged_model_of("runs:/1/model")
        ('m-0123', None)
    """
    match = _LOGGED.fullmatch(source)
    return match[1] if match else None


def run_name(name: Any, tags: Mapping[str, str], run_id: str) -> str:
    """Return what a run is called: old versions had only a tag for it."""
    return str(name or tags.get(NAME_TAG) or f"run-{run_id[-6:]}")


def _one_of(names: tuple[str, ...], value: Any, what: str) -> str:
    text = str(value)
    if text in names:
        return text
    if text.isdecimal() and 1 <= int(text) <= len(names):
        return names[int(text) - 1]
    raise BadSource(f"{text[:100]!r} is no {what}.", expected=f"one of {', '.join(names)}")
