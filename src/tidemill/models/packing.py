"""Packs a fitted model: saves the original, converts it, and checks the twin row by row."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.contract import Contract
from tidemill.core.plugins import Plugins
from tidemill.core.tasks import Task
from tidemill.models.bundle import REFERENCE, write_manifest
from tidemill.models.errors import CannotBeSaved
from tidemill.models.frames import columns_of
from tidemill.models.inputs import Encoder
from tidemill.models.probes import Answer, probe
from tidemill.models.protocol import Converted, Flavor, Precision, Saved, Trust
from tidemill.models.records import Label, Manifest, Parity, Signature, Twin
from tidemill.models.runtime.lock import lock_here, write_lock
from tidemill.models.session import Graph

FLAVORS = Plugins("flavors", "tidemill.models.flavors")
TOLERANCE = 1e-5
"""A larger difference of a probability, or of a standardised value, is a difference."""
_TIE = 1e-6
_LARGE = 0.01
TWIN = "model.onnx"
PRECISIONS: tuple[Precision, ...] = ("double", "single")
_LIBRARIES = (
    "numpy",
    "scikit-learn",
    "polars",
    "onnx",
    "onnxruntime",
    "skl2onnx",
    "xgboost",
    "xgboost-cpu",
    "lightgbm",
    "catboost",
    "torch",
)


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
    trust: Trust = "own",
    requirements: Sequence[str] = (),
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
        trust: With `never`, an original that could only be pickled is left out; its twin stays.
        requirements: What it needs installed beyond what is found, where it has no twin.

    Raises:
        CannotBeSaved: No flavor knows the object, or it cannot be saved, or it does not answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    flavor = flavor_of(model)
    signature = _signature(model, flavor, task, contract, threshold, positive)
    rows = sample.select(c.name for c in signature.features)
    case = _case(model, flavor, signature, rows)
    signature, twin, reason = make_twin(model, flavor, case, folder)
    saved = _save(model, flavor, folder, trust=trust, needed=twin is None)
    if twin is None and saved is not None:
        pickle = folder / saved.file if saved.form == "pickle" else None
        also = (*requirements, *(("skops",) if saved.form == "skops" else ()))
        write_lock(folder, lock_here(flavor.name, pickle, also=also))
    if reference is not None:
        reference.write_parquet(folder / REFERENCE)
    manifest = Manifest(
        name=name,
        flavor=flavor.name,
        signature=signature,
        contract=contract,
        files=(),
        created=created,
        original=saved.file if saved else None,
        saved_as=saved.form if saved else None,
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
    # First the framework that the class is from, last the flavor of any Python object.
    home = type(model).__module__.partition(".")[0]
    for name in sorted(FLAVORS.names(), key=lambda name: (name != home, name == "python", name)):
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


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """What a twin is checked on.

    Attributes:
        signature: What goes in and comes out.
        rows: Held-out rows, then probes.
        answers: The original's answers for them, as `Flavor.predict` returns them.
        probes: How many of the rows are probes.
    """

    signature: Signature
    rows: pl.DataFrame
    answers: NDArray[np.float64]
    probes: int = 0


def _case(model: Any, flavor: Flavor, signature: Signature, rows: pl.DataFrame) -> Case:
    answers = _answers(model, flavor, signature, rows)
    return probed_case(
        signature, rows, answers, lambda some: flavor.predict(model, some, signature)
    )


def probed_case(
    signature: Signature, rows: pl.DataFrame, answers: NDArray[np.float64], answer: Answer
) -> Case:
    """Return held-out rows with probes like them, and what the original says of both."""
    probed = probe(rows, signature, answer)
    if probed.answers is not None:
        rows, answers = pl.concat([rows, probed.rows]), np.concatenate([answers, probed.answers])
    return Case(signature=probed.signature, rows=rows, answers=answers, probes=len(probed.rows))


def _answers(
    model: Any, flavor: Flavor, signature: Signature, rows: pl.DataFrame
) -> NDArray[np.float64]:
    if rows.is_empty():
        raise CannotBeSaved(
            "There are no held-out rows to check the model on.", expected="one row or more"
        )
    try:
        answers = flavor.predict(model, rows, signature)
    except Exception as error:
        raise CannotBeSaved(
            f"The model does not answer for held-out rows: {type(error).__name__}: {error}",
            expected="`predict_proba` for a classifier, `predict` for a regressor",
            hint="Fit it on the feature columns as they come, without the label; wrap a classifier"
            " that has no probabilities in CalibratedClassifierCV.",
        ) from error
    wanted = (len(rows),) if signature.task == "regression" else (len(rows), len(signature.classes))
    if answers.shape != wanted or not np.isfinite(answers).all():
        raise CannotBeSaved(
            f"The model answers {len(rows)} rows with {answers.shape}"
            + ("." if np.isfinite(answers).all() else ", some of it not finite."),
            expected=f"finite numbers of shape {wanted}",
        )
    return answers


def _save(model: Any, flavor: Flavor, folder: Path, *, trust: Trust, needed: bool) -> Saved | None:
    try:
        return flavor.save(model, folder, trust)
    except CannotBeSaved:
        if needed:
            raise
        return None


def make_twin(
    model: Any, flavor: Flavor, case: Case, folder: Path
) -> tuple[Signature, Twin | None, str | None]:
    """Write the first twin whose answers are the original's; else say why there is none.

    Double precision comes first, since trees decide next to their thresholds; some operators know
    single precision only.
    """
    reason = ""
    for precision in PRECISIONS:
        try:
            converted = flavor.convert(model, case.signature, precision)
            parity = check(converted, case)
        except Exception as error:  # converters raise what they like
            reason = reason or _first_line(error)
            continue
        if parity.verified:
            (folder / TWIN).write_bytes(converted.graph)
            twin = Twin(file=TWIN, layout=converted.layout, parity=parity)
            return _narrowed(case.signature, converted), twin, None
        reason = reason or (
            f"its answers differ from the original's in {parity.differing} of {parity.rows} rows, "
            f"by up to {parity.max_difference:.3g}"
        )
    return case.signature, None, reason


def _narrowed(signature: Signature, converted: Converted) -> Signature:
    """Name the only values of a column where the original refuses any other."""
    features = tuple(
        msgspec.structs.replace(c, values=_both(c.values, converted.known[c.name]))
        if c.name in converted.known
        else c
        for c in signature.features
    )
    return msgspec.structs.replace(signature, features=features)


def _both(allowed: tuple[Label, ...] | None, known: tuple[int | str, ...]) -> tuple[Label, ...]:
    return tuple(known) if allowed is None else tuple(v for v in allowed if v in known)


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0][:300]
    return text if isinstance(error, ValueError) and text else f"{type(error).__name__}: {text}"


def check(converted: Converted, case: Case) -> Parity:
    """Compare a graph's answers with the original's, row by row."""
    signature, answers = case.signature, case.answers
    encoder = Encoder(signature, refuse_out_of_contract=False)
    matrices, count = encoder.encode(columns_of(case.rows, signature))
    said = Graph(converted.graph, signature, converted.layout).run(matrices)
    mismatches = 0
    if signature.task == "regression":
        # Far outside the data the values themselves are large, and so are their last digits.
        scale = np.maximum(_scale(answers[: count - case.probes]), np.abs(answers) * _LARGE)
        difference = np.abs(said.values - answers) / scale
    else:
        ours = said.scores
        assert ours is not None
        theirs = answers[:, signature.positive_index] if signature.task == "binary" else answers
        difference = np.abs(ours - theirs)
        difference = difference if difference.ndim == 1 else difference.max(axis=1)
        mismatches = _mismatches(signature, theirs, ours)
    return Parity(
        rows=count - case.probes,
        probes=case.probes,
        max_difference=float(difference.max()),
        differing=int((~(difference <= TOLERANCE)).sum()),
        label_mismatches=mismatches,
        tolerance=TOLERANCE,
    )


def _scale(answers: NDArray[np.float64]) -> float:
    return float(np.std(answers)) or 1.0


def _mismatches(
    signature: Signature, theirs: NDArray[np.float64], ours: NDArray[np.float64]
) -> int:
    """Count labels that differ, but for ties that rounding alone decides."""
    if theirs.ndim == 1:
        differ = (theirs >= signature.threshold) != (ours >= signature.threshold)
        tied = np.abs(theirs - signature.threshold) <= _TIE
    else:
        differ = theirs.argmax(axis=1) != ours.argmax(axis=1)
        best = np.sort(theirs, axis=1)
        tied = best[:, -1] - best[:, -2] <= _TIE
    return int((differ & ~tied).sum())


def _libraries(names: Sequence[str] = _LIBRARIES) -> dict[str, str]:
    found = {"python": ".".join(map(str, sys.version_info[:3]))}
    for name in names:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
