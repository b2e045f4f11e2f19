"""Makes a bundle of a folder as MLflow writes it, without loading anything in this process.

The model is loaded in its own environment, in a child process, which says what it is and what it
answers. A second child, in this environment, loads it to convert it; whether its twin may stand in
is judged by the answers of the first.
"""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.clock import Clock
from tidemill.core.tasks import Task
from tidemill.models.adoption.reading import read_example, read_model
from tidemill.models.adoption.records import ADOPTED, FOLDER, Described
from tidemill.models.adoption.sampling import widened
from tidemill.models.adoption.twins import convert_apart
from tidemill.models.bundle import write_manifest
from tidemill.models.errors import CannotBeAdopted, ModelsError
from tidemill.models.frames import TYPES, columns_of
from tidemill.models.packing import Case, probed_case
from tidemill.models.records import Label, Manifest, Signature
from tidemill.models.runtime.child import Child
from tidemill.models.runtime.environments import Environments
from tidemill.models.runtime.limits import Limits
from tidemill.models.runtime.lock import Lock, write_lock
from tidemill.models.runtime.model import RuntimeModel, check_trust
from tidemill.models.runtime.opening import Surroundings

_NO_ROWS = (
    "it was logged without rows to check a twin on; log it with input_example=rows, or pack it with"
    " --rows FILE"
)


def adopt(
    logged: Path,
    folder: Path,
    *,
    name: str,
    surroundings: Surroundings,
    clock: Clock,
    created: datetime,
    rows: pl.DataFrame | None = None,
) -> Manifest:
    """Pack a model that MLflow's client logged.

    Args:
        logged: MLflow's files.
        folder: Where the bundle goes; made if it is missing.
        name: The model's name.
        surroundings: How it is run.
        clock: Tells durations.
        created: Goes into the manifest.
        rows: Rows to check a twin on; those that were logged with it where it is left out.

    Raises:
        CannotBeAdopted: The files do not say enough, or the model answers with something else.
        NotTrusted: The policy forbids to load it.
        EnvironmentNotBuilt: What it needs cannot be installed.
        ModelNotLoaded: It cannot be loaded there.
    """
    described = read_model(logged)
    shutil.copytree(logged, folder / FOLDER, symlinks=True, copy_function=shutil.copyfile)
    (folder / ADOPTED).write_bytes(msgspec.json.encode(described.adopted))
    lock = Lock(python=described.python, requirements=described.requirements, complete=False)
    write_lock(folder, lock)
    manifest = write_manifest(folder, _manifest(described, name, created))
    check_trust(folder, manifest, surroundings.trust, surroundings.keys)
    environments = Environments(surroundings.environments)
    python = environments.build(lock, name=name)
    limits = msgspec.structs.replace(surroundings.limits, processes=1, waiting_rows=1 << 62)
    classes = _classes(python, folder, manifest, limits)
    manifest = write_manifest(
        folder, msgspec.structs.replace(manifest, signature=_signature(described, classes))
    )
    example = read_example(logged, described) if rows is None else _given(rows, described)
    with RuntimeModel(
        folder,
        environments=environments,
        trust="own",  # the policy was asked above
        clock=clock,
        limits=limits,
        refuse_out_of_contract=False,
    ) as model:
        case = None if example is None else _case(model, example, described, own=rows is not None)
    return write_manifest(folder, _with_twin(manifest, folder, case))


def _manifest(described: Described, name: str, created: datetime) -> Manifest:
    kind = described.adopted.kind
    return Manifest(
        name=name,
        flavor="python" if kind == "pyfunc" else kind,
        signature=_signature(described, None),
        contract=described.contract,
        files=(),
        created=created,
        original=f"{FOLDER}/MLmodel",
        saved_as="mlflow",
        no_twin="it has not been converted yet",
        libraries={"python": described.python},
    )


def _signature(described: Described, classes: tuple[Label, ...] | None) -> Signature:
    task: Task = "regression"
    if classes is not None:
        task = "binary" if len(classes) == 2 else "multiclass"
    return Signature(
        features=described.contract.features,
        task=task,
        classes=classes or (),
        positive=classes[-1] if classes is not None and task == "binary" else None,
    )


def _classes(
    python: Path, folder: Path, manifest: Manifest, limits: Limits
) -> tuple[Label, ...] | None:
    """Load the model once, and ask what it is."""
    child = Child(python, folder, manifest, limits)
    try:
        classes = child.classes
    finally:
        child.close()
    if classes is not None and len(classes) < 2:
        raise CannotBeAdopted(
            f"The model {manifest.name!r} knows {len(classes)} classes.",
            expected="a classifier of two or more, or a regressor",
        )
    return classes


def _given(rows: pl.DataFrame, described: Described) -> pl.DataFrame:
    missing = [c.name for c in described.columns if c.name not in rows.columns]
    if missing:
        raise CannotBeAdopted(
            f"The rows to check it on have no column {missing[0]!r}.",
            expected="the columns " + ", ".join(repr(c.name) for c in described.columns),
        )
    return rows.select(pl.col(c.name).cast(TYPES[c.type]) for c in described.columns)


def _case(model: RuntimeModel, example: pl.DataFrame, described: Described, *, own: bool) -> Case:
    """Ask the original, where it belongs, about rows and about probes like them."""
    rows = example if own else widened(example, described.columns)

    def answer(some: pl.DataFrame) -> NDArray[np.float64]:
        matrices, count = model.encoder.encode(columns_of(some, model.signature))
        said = model.pool.ask(matrices, count)
        return said.reshape(-1) if model.signature.task == "regression" else said

    try:
        answers = answer(rows)
    except ModelsError as error:
        raise CannotBeAdopted(
            f"The model does not answer for the rows that it was logged with: {error.what}",
            expected="numbers, or a classifier's labels or probabilities",
            hint="A pyfunc that answers with labels names them when it is logged:"
            ' metadata={"classes": ["no", "yes"]}.',
        ) from error
    return probed_case(model.signature, rows, answers, answer)


def _with_twin(manifest: Manifest, folder: Path, case: Case | None) -> Manifest:
    if case is None:
        return msgspec.structs.replace(manifest, no_twin=_NO_ROWS)
    signature, twin, reason = convert_apart(folder, manifest, case)
    return msgspec.structs.replace(manifest, signature=signature, twin=twin, no_twin=reason)
