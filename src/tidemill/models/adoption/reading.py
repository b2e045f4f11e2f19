"""Reads the files that MLflow writes beside a model. They come from a client, and name nothing
that is not among them.

Reference: https://mlflow.org/docs/latest/ml/model/#storage-format
"""

from __future__ import annotations

import math
from pathlib import Path, PurePosixPath
from typing import Any

import msgspec
import polars as pl
import yaml

from tidemill.core.contract import Column, ColumnType
from tidemill.models.adoption.records import Adopted, Described, Kind
from tidemill.models.errors import CannotBeAdopted
from tidemill.models.frames import TYPES

MLMODEL = "MLmodel"
_TYPES: dict[str, tuple[ColumnType, str]] = {
    "boolean": ("bool", "bool"),
    "integer": ("int", "int32"),
    "long": ("int", "int64"),
    "float": ("float", "float32"),
    "double": ("float", "float64"),
    "string": ("string", "object"),
    "datetime": ("datetime", "datetime64[ns]"),
}
_WIDEST = 10_000
_NATIVE: tuple[Kind, ...] = ("sklearn", "xgboost", "lightgbm")
_OF_MLFLOW = ("mlflow", "mlflow-skinny")


def read_model(folder: Path) -> Described:
    """Read what MLflow's files say of a model.

    Raises:
        CannotBeAdopted: There is no MLmodel, it cannot be read, or it has no signature.
    """
    told = _told(folder)
    flavors = _mapping(told.get("flavors"), "flavors")
    adopted = _adopted(folder, flavors)
    columns, types, tensor = _columns(told)
    metadata = told.get("metadata")
    named = metadata.get("classes") if isinstance(metadata, dict) else None
    classes = (
        tuple(c for c in named if isinstance(c, bool | int | str))
        if isinstance(named, list)
        else ()
    )
    function = _mapping(flavors.get("python_function"), "flavors.python_function")
    example = told.get("saved_input_example_info")
    path = example.get("artifact_path") if isinstance(example, dict) else None
    return Described(
        adopted=msgspec.structs.replace(adopted, types=types, tensor=tensor, classes=classes),
        columns=columns,
        python=str(function.get("python_version") or "3.11"),
        requirements=_requirements(folder, adopted),
        example=None if path is None else _inside(folder, str(path)),
    )


def read_example(folder: Path, described: Described) -> pl.DataFrame | None:
    """Return the rows that were logged with the model, or nothing."""
    if described.example is None:
        return None
    try:
        told = msgspec.json.decode((folder / described.example).read_bytes())
    except (OSError, msgspec.DecodeError):
        return None
    names = [c.name for c in described.columns]
    rows = told.get("data", told.get("inputs")) if isinstance(told, dict) else told
    if not isinstance(rows, list) or not rows:
        return None
    order = told.get("columns", names) if isinstance(told, dict) else names
    try:
        if isinstance(rows[0], dict):
            frame = pl.DataFrame(rows, infer_schema_length=None).select(names)
        else:
            frame = pl.DataFrame(rows, schema=[str(n) for n in order], orient="row").select(names)
        return frame.with_columns(_cast(c, frame[c.name]) for c in described.columns)
    except (pl.exceptions.PolarsError, TypeError, ValueError):
        return None


def _cast(column: Column, series: pl.Series) -> pl.Series:
    if column.type in {"datetime", "date"} and series.dtype == pl.String:
        return series.str.to_datetime(time_unit="us").cast(TYPES[column.type])
    return series.cast(TYPES[column.type])


def _told(folder: Path) -> dict[str, Any]:
    try:
        told = yaml.safe_load((folder / MLMODEL).read_text(errors="replace"))
    except OSError as error:
        raise CannotBeAdopted(
            "The logged files have no MLmodel.",
            expected="a model that was logged with mlflow.<flavor>.log_model",
        ) from error
    except yaml.YAMLError as error:
        raise CannotBeAdopted(f"MLmodel cannot be read: {error}".replace("\n", " ")) from error
    return _mapping(told, MLMODEL)


def _mapping(value: object, name: str) -> dict[str, Any]:
    if isinstance(value, dict):
        return value
    raise CannotBeAdopted(f"MLmodel has no table {name!r}.", expected="MLflow's own format")


def _adopted(folder: Path, flavors: dict[str, Any]) -> Adopted:
    function = _mapping(flavors.get("python_function"), "flavors.python_function")
    code = function.get("code")
    inside = None if code is None else _inside(folder, str(code))
    for kind in _NATIVE:
        own = flavors.get(kind)
        if not isinstance(own, dict):
            continue
        file = own.get("pickled_model") or own.get("data")
        known = str(own.get("model_class") or "")
        form = str(own.get("serialization_format") or own.get("model_format") or "")
        if file is None or not (folder / _inside(folder, str(file))).is_file():
            break
        return Adopted(
            kind=kind,
            file=_inside(folder, str(file)),
            format=form or Path(str(file)).suffix.lstrip("."),
            class_name=known.rpartition(".")[2],
            trusted=tuple(map(str, own.get("skops_trusted_types") or ())),
            code=inside,
        )
    return Adopted(kind="pyfunc", code=inside)


def _inside(folder: Path, name: str) -> str:
    """Return a path that MLmodel names, if it is of a file among the model's own."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or not (folder / path).exists():
        raise CannotBeAdopted(f"MLmodel names {name!r}, which is not among the model's files.")
    return str(path)


def _columns(told: dict[str, Any]) -> tuple[tuple[Column, ...], tuple[str, ...], bool]:
    signature = told.get("signature")
    text = signature.get("inputs") if isinstance(signature, dict) else None
    try:
        inputs = msgspec.json.decode(str(text), type=list[dict[str, Any]]) if text else []
    except msgspec.DecodeError as error:
        raise CannotBeAdopted(f"MLmodel's signature cannot be read: {error}.") from error
    if not inputs:
        raise CannotBeAdopted(
            "The model was logged without a signature, so that nothing is known of its columns.",
            expected="a signature with the columns that go in",
            hint="Log it with signature=mlflow.models.infer_signature(rows, predictions), or with"
            " input_example=rows.",
        )
    if len(inputs) == 1 and inputs[0].get("type") == "tensor" and "name" not in inputs[0]:
        return _of_tensor(inputs[0])
    found = [_column(spec) for spec in inputs]
    return tuple(c for c, _ in found), tuple(t for _, t in found), False


def _column(spec: dict[str, Any]) -> tuple[Column, str]:
    name, kind = spec.get("name"), spec.get("type")
    if not isinstance(name, str) or kind not in _TYPES:
        raise CannotBeAdopted(
            f"The signature has a column {name!r} of type {kind!r}.",
            expected="named columns of the types " + ", ".join(_TYPES),
        )
    ours, theirs = _TYPES[kind]
    return Column(name=name, type=ours), theirs


def _of_tensor(spec: dict[str, Any]) -> tuple[tuple[Column, ...], tuple[str, ...], bool]:
    tensor = _mapping(spec.get("tensor-spec"), "tensor-spec")
    shape, kind = tensor.get("shape"), str(tensor.get("dtype"))
    if (
        not isinstance(shape, list)
        or len(shape) != 2
        or not isinstance(shape[1], int)
        or not 0 < shape[1] <= _WIDEST
        or not kind.startswith(("float", "int", "uint"))
    ):
        raise CannotBeAdopted(
            f"The model takes a tensor of shape {shape} and type {kind!r}.",
            expected="rows of numbers: the shape [-1, N], or named columns",
        )
    width = shape[1]
    digits = int(math.log10(max(width - 1, 1))) + 1
    names = (f"f{at:0{digits}d}" for at in range(width))
    ours: ColumnType = "float" if kind.startswith("float") else "int"
    return tuple(Column(name=n, type=ours) for n in names), (kind,) * width, True


def _requirements(folder: Path, adopted: Adopted) -> tuple[str, ...]:
    """Return what the model's environment is made of.

    A model that its own library loads needs nothing of MLflow, with its hundred packages.
    """
    try:
        lines = (folder / "requirements.txt").read_text().splitlines()
    except OSError as error:
        raise CannotBeAdopted(
            "The logged files have no requirements.txt.", expected="what the model needs installed"
        ) from error
    wanted = [line.partition(" #")[0].strip() for line in lines]
    wanted = [line for line in wanted if line and not line.startswith("#")]
    options = [line for line in wanted if line.startswith("-")]
    if options:
        raise CannotBeAdopted(
            f"requirements.txt holds the option {options[0]!r}.",
            expected="packages alone; where they come from is for this installation to say",
        )
    if adopted.kind != "pyfunc":
        wanted = [line for line in wanted if _name(line) not in _OF_MLFLOW]
    names = {_name(line) for line in wanted}
    if "xgboost-cpu" in names:  # MLflow names both, and both are the same files
        wanted = [line for line in wanted if _name(line) != "xgboost"]
    also = [n for n in ("numpy", "pandas", "cloudpickle") if n not in names]
    return tuple(sorted([*wanted, *also]))


def _name(requirement: str) -> str:
    for at, letter in enumerate(requirement):
        if not (letter.isalnum() or letter in "-_."):
            return requirement[:at].lower()
    return requirement.lower()
