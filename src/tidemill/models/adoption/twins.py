"""Converts an adopted model in a child process of this environment, which loads it to do so.

    python -m tidemill.models.adoption.twins BUNDLE CASE

The case holds rows and what the original said of them in its own environment; the child writes the
twin into the bundle if it answers the same, and says so on its output.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from tidemill.models.errors import CannotBeSaved
from tidemill.models.packing import Case, flavor_of, make_twin
from tidemill.models.records import Manifest, Signature, Twin
from tidemill.models.runtime import runner
from tidemill.models.runtime.child import told_of
from tidemill.models.runtime.limits import Limits

_SECONDS = 600.0


class _Task(msgspec.Struct, frozen=True):
    manifest: Manifest
    signature: Signature
    rows: bytes
    answers: bytes
    probes: int


class _Outcome(msgspec.Struct, frozen=True):
    signature: Signature
    twin: Twin | None
    reason: str | None


def convert_apart(
    folder: Path, manifest: Manifest, case: Case
) -> tuple[Signature, Twin | None, str | None]:
    """Convert a bundle's model in a process of its own; says why where there is no twin."""
    buffer = io.BytesIO()
    case.rows.write_parquet(buffer)
    task = _Task(manifest, case.signature, buffer.getvalue(), _array(case.answers), case.probes)
    with tempfile.TemporaryDirectory(prefix="tidemill-twin-") as scratch:
        path = Path(scratch) / "case"
        path.write_bytes(msgspec.msgpack.encode(task))
        command = [sys.executable, "-m", "tidemill.models.adoption.twins", str(folder), str(path)]
        try:
            done = subprocess.run(
                command,
                check=False,
                capture_output=True,
                timeout=_SECONDS,
                cwd=scratch,
                env=_variables(scratch),
            )
        except subprocess.TimeoutExpired:
            return case.signature, None, f"converting it took longer than {_SECONDS:g} s"
    try:
        found = msgspec.json.decode(done.stdout, type=_Outcome)
    except msgspec.DecodeError:
        last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        why = f"the process that converts it ended with {done.returncode}: {''.join(last)[:300]}"
        return case.signature, None, why
    return found.signature, found.twin, found.reason


def _array(answers: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, answers, allow_pickle=False)
    return buffer.getvalue()


def _variables(scratch: str) -> dict[str, str]:
    """Return what the child finds: how Python finds this environment, and no secret of ours."""
    kept = {k: v for k, v in os.environ.items() if k in {"PATH", "LANG", "PYTHONPATH"}}
    return {**kept, "HOME": scratch, "TMPDIR": scratch, "OMP_NUM_THREADS": "1"}


def _main(folder: Path, case_file: Path) -> None:
    output = os.dup(1)
    os.dup2(2, 1)  # what the model prints is not the answer
    task = msgspec.msgpack.decode(case_file.read_bytes(), type=_Task)
    case = Case(
        signature=task.signature,
        rows=pl.read_parquet(io.BytesIO(task.rows)),
        answers=np.load(io.BytesIO(task.answers), allow_pickle=False),
        probes=task.probes,
    )
    with os.fdopen(output, "wb") as out:
        out.write(msgspec.json.encode(_converted(folder, task.manifest, case)))


def _converted(folder: Path, manifest: Manifest, case: Case) -> _Outcome:
    if manifest.flavor == "python":
        reason = "a model that only MLflow can load has no counterpart among ONNX's operators"
        return _Outcome(case.signature, None, reason)
    try:
        with warnings.catch_warnings():
            # Another version of a library may warn, and still answer the same: that is compared.
            warnings.simplefilter("ignore")
            model = runner.MLFLOW.load(runner.Told(told_of(folder, manifest, Limits())))
            return _Outcome(*make_twin(model, flavor_of(model), case, folder))
    except CannotBeSaved as error:
        reason = error.what
    except Exception as error:  # loading runs the author's code, in whichever versions are here
        text = str(error).strip().partition("\n")[0][:200]
        reason = f"it cannot be loaded beside our converters: {type(error).__name__}: {text}"
    return _Outcome(case.signature, None, reason)


if __name__ == "__main__":
    _main(Path(sys.argv[1]), Path(sys.argv[2]))
