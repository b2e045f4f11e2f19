"""Follows something long that runs in the owner, and shows how far it is."""

from __future__ import annotations

import sys
import time
from typing import Any

from tidemill.cli.output import Output
from tidemill.core.errors import TidemillError, Usage, nearest
from tidemill.sdk.session import Session

_POLL = 0.1


class JobFailed(TidemillError):
    """What ran in the owner failed.

    Args:
        what: What happened, in words.
        status: The HTTP status of its cause, by which the exit code is chosen.
    """

    def __init__(self, what: str, status: int | None = None) -> None:
        super().__init__(what)
        # Others stand for several kinds of trouble, and so for several exit codes.
        self.status = status if status in (400, 404, 409) else None


class WhichModel(Usage):
    """The policy has several models, or none, and the command names no one of them."""


def follow(session: Session, job: Any, output: Output) -> Any:
    """Wait for a job and return it.

    Raises:
        JobFailed: It failed.
    """
    shown = ""
    while not job.done:
        if job.step and job.step != shown:
            shown = job.step
            if sys.stderr.isatty():
                sys.stderr.write(f"\r\033[K… {shown.replace('_', ' ')}")
                sys.stderr.flush()
        time.sleep(_POLL)
        job = session.ask("job", id=job.id)
    if sys.stderr.isatty() and shown:
        sys.stderr.write("\r\033[K")
    if job.error is not None:
        raise JobFailed(job.error, job.status)
    return job


def only_model(session: Session) -> str:
    """Return the policy's only model.

    Raises:
        WhichModel: There are several, or none.
    """
    names: list[str] = [i.model for i in session.ask("explain")]
    if len(names) == 1:
        return names[0]
    raise WhichModel(
        f"The policy has {len(names)} models.",
        expected=nearest("", names),
        hint="Name one of them.",
    )
