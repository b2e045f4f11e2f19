"""A user's mistakes: one clear message each, the right exit code, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pytest

from .conftest import Tidemill

Edit = Callable[[str, str], None]
FIT = "def fit(rows, *, seed=0):\n"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, tidemill: Tidemill) -> Path:
    """A project with a live model, for mistakes that leave it as it is."""
    folder = tmp_path_factory.mktemp("project")
    tidemill(folder, "init")
    tidemill(folder, "run")
    return folder


@pytest.fixture
def edit(project: Path) -> Iterator[Edit]:
    """Write a file of the project, which is as it was afterwards."""
    before: dict[Path, str] = {}

    def write(name: str, text: str) -> None:
        before.setdefault(project / name, (project / name).read_text())
        (project / name).write_text(text)

    yield write
    for path, text in before.items():
        path.write_text(text)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("holdout = 0.2", 'holdout = "soon"', "holdout"),
        ("holdout = 0.2", "holdut = 0.2", "'holdout'"),
        ('train = "pipeline:fit"', "", "no `train`"),
        ('dataset = "rows"', 'dataset = "rosw"', "'rows'"),
        ("steps = [10, 50, 100]", "steps = [50, 10]", "end with 100"),
        ("roc_auc =", "rocauc =", "'roc_auc'"),
        ("[models.model]", "[models.model", "valid TOML"),
    ],
)
def test_mistakes_in_the_policy_name_file_line_and_what_was_expected(
    project: Path, edit: Edit, tidemill: Tidemill, old: str, new: str, said: str
) -> None:
    policy = (project / "tidemill.toml").read_text()
    assert old in policy
    edit("tidemill.toml", policy.replace(old, new, 1))
    answer = tidemill(project, "run", code=2)
    assert said in answer.stderr
    assert "tidemill.toml" in answer.stderr


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("    raise ValueError('no luck today')\n", "no luck today"),
        ("    pass\n", "returned nothing"),
        ("    return 42\n", "int"),
        ("    import sys; sys.exit(3)\n", "SystemExit"),
        ("    import os; os._exit(7)\n", "exited with 7"),
        ("    return undefined_name\n", "undefined_name"),
    ],
)
def test_mistakes_in_the_training_function_fail_the_run_and_nothing_else(
    project: Path, edit: Edit, tidemill: Tidemill, body: str, said: str
) -> None:
    before = json.loads(tidemill(project, "runs", "list", "--json").stdout)
    edit("pipeline.py", FIT + body)
    failed = tidemill(project, "run", code=1)
    assert said in failed.stderr
    runs = json.loads(tidemill(project, "runs", "list", "--json").stdout)
    assert runs[0]["status"] == "FAILED"
    assert runs[1:] == before
    models = json.loads(tidemill(project, "models", "list", "--json").stdout)
    assert models[0]["aliases"] == {"champion": 1}


def test_a_module_that_cannot_be_imported_is_named(
    project: Path, edit: Edit, tidemill: Tidemill
) -> None:
    edit("pipeline.py", "import a_module_that_is_not_there\n")
    assert "a_module_that_is_not_there" in tidemill(project, "run", code=1).stderr
    edit("pipeline.py", "def fti(rows): ...\n")
    assert "'fti'" in tidemill(project, "run", code=1).stderr


def test_a_bad_file_is_refused_and_the_good_ones_are_used(
    project: Path, tidemill: Tidemill
) -> None:
    good = pl.read_parquet(project / "data" / "breast_cancer.parquet")
    bad = project / "data" / "bad.parquet"
    good.drop("mean_radius").write_parquet(bad)
    refused = tidemill(project, "data", "add", "rows", code=5)
    bad.unlink()
    assert "mean_radius" in refused.stderr
    assert "bad.parquet" in refused.stderr
    listed = json.loads(tidemill(project, "data", "list", "--json").stdout)
    assert listed[0]["rows"] == good.height


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["models", "versions", "nobody"], 3),
        (["runs", "show", "0000000000"], 3),
        (["trace", "0" * 32], 3),
        (["rollback", "nowhere"], 3),
        (["data", "show", "flights"], 3),
        (["deploy", "model@7"], 3),
        (["run", "nobody"], 3),
        (["frobnicate"], 2),
        (["models"], 2),
    ],
)
def test_what_is_not_there_is_answered_with_the_right_exit_code(
    project: Path, tidemill: Tidemill, arguments: list[str], code: int
) -> None:
    assert tidemill(project, *arguments, code=code).stderr


def test_outside_a_project_the_way_into_one_is_shown(tmp_path: Path, tidemill: Tidemill) -> None:
    assert "tidemill init" in tidemill(tmp_path, "models", "list", code=3).stderr


def test_init_does_not_overwrite_and_asks_for_the_label(tmp_path: Path, tidemill: Tidemill) -> None:
    tidemill(tmp_path, "init")
    assert "already" in tidemill(tmp_path, "init", code=4).stderr
    data = tmp_path / "rows.csv"
    data.write_text("a,b\n1,2\n")
    other = tmp_path / "other"
    assert "--label" in tidemill(tmp_path, "init", str(other), "--data", str(data), code=2).stderr
    assert not other.exists()
