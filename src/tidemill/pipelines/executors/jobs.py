"""What a child process is told, and what it answers. All of it in files of one folder."""

from __future__ import annotations

from typing import Literal

import msgspec

from tidemill.pipelines.records import Stored
from tidemill.tracking.records import Metric, Param, Tag

JOB, RESULT, EVENTS, LOG = "job.json", "result.json", "events.log", "output.log"
OUTPUT = ".output"
"""The pipe that a child prints into, in its scratch folder until it has opened it."""


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A step to be run in a child process.

    Attributes:
        function: `module:name` of the step.
        arguments: Each argument, stored.
        blobs: The folder of the blob store.
        path: Folders that come first on the child's module path.
        run_id: The tracking run that is active in it.
        scratch: A folder for temporary files, removed when the child has ended.
        environment: Variables that are set in the child.
    """

    function: str
    arguments: dict[str, Stored]
    blobs: str
    path: tuple[str, ...]
    run_id: str
    scratch: str = ""
    environment: dict[str, str] = {}


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """How a child's step ended.

    Attributes:
        status: `held` is a gate that said no.
        value: What the step returned.
        error: What went wrong, in one sentence.
        code: The error's code, as `TidemillError.code` has it.
    """

    status: Literal["finished", "failed", "held"]
    value: Stored | None = None
    error: str = ""
    code: str = ""


class Logged(msgspec.Struct, frozen=True, array_like=True):
    """Something that a step logged to its run."""

    metrics: list[Metric] = []
    params: list[Param] = []
    tags: list[Tag] = []
    artifact: str = ""
    digest: str = ""
