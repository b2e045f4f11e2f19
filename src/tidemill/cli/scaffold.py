"""Writes a working project: a policy, a training function, a contract."""

from __future__ import annotations

import json
import shutil
from datetime import timedelta
from importlib.resources import files
from pathlib import Path

import msgspec
import polars as pl

from tidemill.core.contract import Contract
from tidemill.core.errors import Conflict, Usage, nearest
from tidemill.core.policy import ModelPolicy
from tidemill.core.policy.reader import read_policy
from tidemill.datasets import frames
from tidemill.datasets.contracts import write_contract
from tidemill.datasets.conversion import converted
from tidemill.datasets.inference import infer, likely_key, likely_time
from tidemill.pipelines.recipe import task_of

DATASET = "rows"
EXAMPLE = "target"
_WEEK = timedelta(days=7)
_FEWEST_HELD_OUT = 200
_LARGEST_SHARE = 0.3
PROJECT_FILES = ("tidemill.toml", "pipeline.py")


class ProjectExists(Conflict):
    """The folder holds a project already."""


class LabelNeeded(Usage):
    """The data were named, and their label was not."""


class Scaffold(msgspec.Struct, frozen=True, kw_only=True):
    """A project that was written.

    Attributes:
        files: Its files.
        guessed: The roles of columns that nobody named, and that the data suggest.
    """

    files: tuple[Path, ...]
    guessed: dict[str, str] = {}


def scaffold(
    folder: Path,
    *,
    data: Path | None,
    label: str | None,
    time: str | None,
    key: str | None,
    model: str,
    github: bool,
) -> Scaffold:
    """Write a project.

    Without data, the project comes with scikit-learn's breast-cancer data, so that it works.

    Args:
        folder: Where; made if it is missing.
        data: A table to begin with; it is copied into the project.
        label: The column to predict.
        time: The column that says when a row happened; guessed where it is left out.
        key: The column that names a row; guessed where it is left out.
        model: The model's name.
        github: Whether a GitHub workflow is written as well.

    Raises:
        ProjectExists: The folder holds a project, or a file that would be written over.
        LabelNeeded: The data were named, and their label was not.
        UnreadableData: The data cannot be read.
        BadContract: A named column is not in the data.
    """
    _check_vacant(folder)
    rows, name = _rows(data)
    chosen = label or (EXAMPLE if data is None else None)
    if chosen is None:
        raise LabelNeeded(
            f"{name} has {len(rows.columns)} columns, and none was named as the label.",
            expected=nearest("", rows.columns),
            hint=f"Write: tidemill init --data {data} --label COLUMN",
        )
    contract = infer(rows, label=chosen, time=time, key=key)
    guessed = _guess(rows, contract, time, key)
    if guessed:
        time, key = time or guessed.get("time"), key or guessed.get("key")
        contract = infer(rows, label=chosen, time=time, key=key)
    task = task_of(ModelPolicy(train="", dataset=""), rows[chosen])
    regression = task == "regression"
    columns = "".join(f"{role} = {_quoted(c)}\n" for role, c in (("time", time), ("key", key)) if c)
    policy = _template("tidemill.toml.txt").format(
        dataset=DATASET,
        source=_quoted(f"data/*{Path(name).suffix}"),
        label=_quoted(chosen),
        columns=columns,
        model=model,
        holdout='"7d"' if time and _suffices(rows, contract, time) else 0.2,
        gate="r2 = { min = 0.0 }" if regression else "roc_auc = { min = 0.6 }",
    )
    read_policy(policy)
    estimator = "HistGradientBoosting" + ("Regressor" if regression else "Classifier")
    code = _template("pipeline.py.txt").format(estimator=estimator, label=repr(chosen))
    written = [
        _write(folder / "tidemill.toml", policy),
        _write(folder / "pipeline.py", code),
        _copy(data, rows, folder / "data" / name),
    ]
    contract_file = folder / "contracts" / f"{DATASET}.toml"
    write_contract(contract_file, contract)
    written.append(contract_file)
    if github:
        workflow = folder / ".github" / "workflows" / "tidemill.yml"
        written.append(_write(workflow, _template("github.yml")))
    return Scaffold(files=tuple(written), guessed=guessed)


def _guess(
    rows: pl.DataFrame, contract: Contract, time: str | None, key: str | None
) -> dict[str, str]:
    found = {
        "time": None if time else likely_time(rows, contract),
        "key": None if key else likely_key(rows, contract),
    }
    return {role: column for role, column in found.items() if column}


def _suffices(rows: pl.DataFrame, contract: Contract, time: str) -> bool:
    """Whether the rows of the last week are enough to judge a model, and leave enough to learn."""
    moments = (
        converted(rows.lazy(), contract).select(pl.col(time).cast(pl.Datetime)).collect()[time]
    )
    held = int((moments > moments.max() - _WEEK).sum())  # type: ignore[operator]
    return _FEWEST_HELD_OUT <= held <= _LARGEST_SHARE * rows.height


def _check_vacant(folder: Path) -> None:
    for name in PROJECT_FILES:
        if (folder / name).exists():
            raise ProjectExists(
                f"The folder {folder.absolute()} has a {name} already.",
                hint="Edit it, or name another folder.",
            )


def _quoted(text: str) -> str:
    """Return text as TOML writes it; JSON's strings are TOML's too, but for DEL."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _rows(data: Path | None) -> tuple[pl.DataFrame, str]:
    if data is not None:
        return frames.collect(frames.scan(data), data.name), data.name
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    names = [str(n).replace(" ", "_") for n in bunch.feature_names]
    rows = pl.DataFrame(bunch.data, schema=names)
    return rows.with_columns(pl.Series(EXAMPLE, bunch.target == 1)), "breast_cancer.parquet"


def _template(name: str) -> str:
    return (files("tidemill.cli") / "templates" / name).read_text("utf-8")


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def _copy(data: Path | None, rows: pl.DataFrame, target: Path) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    if data is None:
        rows.write_parquet(target)
    elif not (target.exists() and data.samefile(target)):
        shutil.copyfile(data, target)
    return target
