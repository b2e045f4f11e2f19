"""Runs one job. Only ever executed in a process of its own."""

from __future__ import annotations

import importlib
import os
import sys
import tempfile
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from tidemill.core.errors import Findings, TidemillError
from tidemill.pipelines.executors.jobs import EVENTS, JOB, OUTPUT, RESULT, Job, Logged, Result
from tidemill.pipelines.steps import Step
from tidemill.pipelines.values import load_value, store_value
from tidemill.predictions.frames import frame
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.tracking.active import ActiveRun, activate
from tidemill.tracking.records import Metric, Param, Tag


class FileSink:
    """Hands what is logged to the owner, through a file that it reads along."""

    def __init__(self, path: Path, blobs: LocalBlobs) -> None:
        self._path = path
        self._blobs = blobs

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
    ) -> None:
        self._send(Logged(list(metrics), list(params), list(tags)))

    def log_artifact(self, run_id: str, path: str, source: bytes | Path) -> None:
        self._send(Logged(artifact=path, digest=self._blobs.put(source).digest))

    def _send(self, logged: Logged) -> None:
        with self._path.open("ab", buffering=0) as file:
            file.write(frame(msgspec.msgpack.encode(logged)))


def run_job(folder: Path) -> None:
    """Run the job of a folder and leave its result there. Output goes to the owner's pipe."""
    job = msgspec.json.decode((folder / JOB).read_bytes(), type=Job)
    _print_into(Path(job.scratch) / OUTPUT)
    sys.path[:0] = job.path
    os.environ.update(job.environment)
    _keep_temporary_files_in(job.scratch)
    blobs = LocalBlobs(Path(job.blobs))
    try:
        with activate(ActiveRun(job.run_id, FileSink(folder / EVENTS, blobs))):
            value = _call(job, blobs, folder)
        result = Result(status="finished", value=store_value(blobs, value))
    except Findings as error:
        result = Result(status="held", error=str(error), code=error.code)
    except TidemillError as error:
        print(f"{error.code}: {error}", file=sys.stderr)
        result = Result(status="failed", error=str(error), code=error.code)
    except BaseException as error:
        traceback.print_exc()
        result = Result(status="failed", error=_first_line(error), code="USER_CODE_FAILED")
    sys.stdout.flush()
    sys.stderr.flush()
    draft = folder / f"{RESULT}.part"
    draft.write_bytes(msgspec.json.encode(result))
    draft.replace(folder / RESULT)


def _print_into(pipe: Path) -> None:
    output = os.open(pipe, os.O_WRONLY)
    pipe.unlink()  # a step that reads all files of its temporary folder would wait for its end
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.close(output)


def _keep_temporary_files_in(scratch: str) -> None:
    tempfile.tempdir = os.environ["TMPDIR"] = scratch


def _call(job: Job, blobs: LocalBlobs, folder: Path) -> Any:
    module, _, name = job.function.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    function = found.function if isinstance(found, Step) else found
    arguments = {k: load_value(blobs, v, folder) for k, v in job.arguments.items()}
    return function(**arguments)


def _first_line(error: BaseException) -> str:
    message = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {message}" if message else type(error).__name__
