"""Packs a fitted model: saves the original, converts it, and checks the twin row by row."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.contract import Contract
from tidemill.core.plugins import Plugins
from tidemill.core.tasks import Task
from tidemill.models.bundle import REFERENCE, write_manifest
from tidemill.models.errors import CannotBeSaved
from tidemill.models.inputs import Encoder
from tidemill.models.protocol import Converted, Flavor, Precision
from tidemill.models.records import Label, Manifest, Parity, Signature, Twin
from tidemill.models.session import Graph

FLAVORS = Plugins("flavors", "tidemill.models.flavors")
TOLERANCE = 1e-5
"""A larger difference of a probability, or of a standardised value, is a difference."""
PRECISIONS: tuple[Precision, ...] = ("double", "single")
_LIBRARIES = ("numpy", "scikit-learn", "polars", "onnx", "onnxruntime", "skl2onnx")


def pack(
    model: Any,
    *,
    name: str,
    task: Task,
    contract: Contract,
    sample: pl.DataFrame,
    folder: Path,
    created: datetime,
    threshold: float = 0.5,
    positive: Label | None = None,
    reference: pl.DataFrame | None = None,
) -> Manifest:
    """Pack a fitted model into an empty folder.

    Args:
        model: What the training function returned.
        name: The model's name.
        task: What it does.
        contract: Of the dataset; its features are the model's inputs.
        sample: Rows of the features that the twin is checked on, best held-out ones.
        folder: Where to; made if it is missing.
        created: Goes into the manifest.
        threshold: The probability from which a binary model says yes.
        positive: The label that counts as yes; the last class where it is left out.
        reference: Rows that the monitor will compare with.

    Raises:
        CannotBeSaved: No flavor knows the object, or it cannot be saved, or it does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flavor = flavor_of(model)
    signature = _signature(model, flavor, task, contract, threshold, positive)
    rows = sample.select(c.name for c in signature.features)
    answers = _answers(model, flavor, signature, rows)
    saved = flavor.save(model, folder)
    twin, reason = _twin(model, flavor, signature, rows, answers, folder)
    if reference is not None:
        reference.write_parquet(folder / REFERENCE)
    manifest = Manifest(
        name=name,
        flavor=flavor.name,
        signature=signature,
        contract=contract,
        files=(),
        created=created,
        original=saved.file,
        saved_as=saved.form,
        twin=twin,
        no_twin=reason,
        libraries=_libraries(),
    )
    return write_manifest(folder, manifest)


def flavor_of(model: object) -> Flavor:
    """Return the flavor that knows the object.

    Raises:
        CannotBeSaved: None does.
    """
    for name in FLAVORS.names():
        flavor: Flavor = FLAVORS.load(name)
        if flavor.matches(model):
            return flavor
    raise CannotBeSaved(
        f"The training function returned {_described(model)}.",
        expected="a fitted model of one of these flavors: " + ", ".join(FLAVORS.names()),
        hint="Return the fitted estimator itself.",
    )


def _described(model: object) -> str:
    return (
        "nothing (None)" if model is None else f"a {type(model).__module__}.{type(model).__name__}"
    )


def _signature(
    model: Any,
    flavor: Flavor,
    task: Task,
    contract: Contract,
    threshold: float,
    positive: Label | None,
) -> Signature:
    classes = () if task == "regression" else flavor.classes(model)
    if task != "regression" and len(classes) < 2:
        raise CannotBeSaved(
            f"The model has {len(classes)} classes, and the task is {task}.",
            expected="a fitted classifier with `classes_`",
        )
    if task == "binary" and positive is None:
        positive = classes[-1]
    return Signature(
        features=contract.features,
        task=task,
        classes=classes,
        positive=positive if task == "binary" else None,
        threshold=threshold,
    )


def _answers(
    model: Any, flavor: Flavor, signature: Signature, rows: pl.DataFrame
) -> NDArray[np.float64]:
    try:
        return flavor.predict(model, rows, signature)
    except Exception as error:
        raise CannotBeSaved(
            f"The model does not answer for held-out rows: {type(error).__name__}: {error}",
            expected="`predict_proba` for a classifier, `predict` for a regressor",
            hint="Fit it on the feature columns as they come, without the label.",
        ) from error


def _twin(
    model: Any,
    flavor: Flavor,
    signature: Signature,
    rows: pl.DataFrame,
    answers: NDArray[np.float64],
    folder: Path,
) -> tuple[Twin | None, str | None]:
    """Return the first twin whose answers are the original's, else the reason why there is none.

    Double precision comes first, since trees decide next to their thresholds; some operators know
    single precision only.
    """
    reason = ""
    for precision in PRECISIONS:
        try:
            converted = flavor.convert(model, signature, precision)
            parity = check(converted, signature, rows, answers)
        except Exception as error:
            reason = reason or _first_line(error)
            continue
        if parity.verified:
            (folder / "model.onnx").write_bytes(converted.graph)
            return Twin(file="model.onnx", layout=converted.layout, parity=parity), None
        reason = (
            f"its answers differ from the original's in {parity.differing} of {parity.rows} rows, "
            f"by up to {parity.max_difference:.3g}"
        )
    return None, reason


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:300]}"


def check(
    converted: Converted,
    signature: Signature,
    rows: pl.DataFrame,
    answers: NDArray[np.float64],
) -> Parity:
    """Compare a graph's answers with the original's, row by row.

    Args:
        converted: The graph.
        signature: What goes in and comes out.
        rows: The features.
        answers: The original's answers for them, as `Flavor.predict` returns them.
    """
    arrays, count = Encoder(signature, refuse_out_of_contract=False).encode(
        {c: rows[c].to_list() for c in rows.columns}
    )
    graph = Graph(converted.graph, signature, converted.layout)
    said = graph.run(arrays)
    if signature.task == "regression":
        scale = float(np.std(answers)) or 1.0
        difference = np.abs(said.values - answers) / scale
        mismatches = 0
    else:
        ours = said.scores
        assert ours is not None
        theirs = answers[:, signature.positive_index] if signature.task == "binary" else answers
        difference = np.abs(ours - theirs)
        difference = difference if difference.ndim == 1 else difference.max(axis=1)
        mismatches = int((_labels(signature, theirs) != _labels(signature, ours)).sum())
    return Parity(
        rows=count,
        max_difference=float(difference.max()),
        differing=int((~(difference <= TOLERANCE)).sum()),
        label_mismatches=mismatches,
        tolerance=TOLERANCE,
    )


def _labels(signature: Signature, scores: NDArray[np.float64]) -> NDArray[Any]:
    return scores >= signature.threshold if scores.ndim == 1 else scores.argmax(axis=1)


def _libraries(names: Sequence[str] = _LIBRARIES) -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
