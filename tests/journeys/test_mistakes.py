"""A user's mistakes: one clear message each, the right exit code, and nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from .conftest import Tidemill

FIT = "def fit(rows, *, seed=0):\n"


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
    tmp_path: Path, tidemill: Tidemill, old: str, new: str, said: str
) -> None:
    tidemill(tmp_path, "init")
    policy = tmp_path / "tidemill.toml"
    assert old in policy.read_text()
    policy.write_text(policy.read_text().replace(old, new, 1))
    answer = tidemill(tmp_path, "run", code=2)
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
    tmp_path: Path, tidemill: Tidemill, body: str, said: str
) -> None:
    tidemill(tmp_path, "init")
    tidemill(tmp_path, "run")
    (tmp_path / "pipeline.py").write_text(FIT + body)
    failed = tidemill(tmp_path, "run", code=1)
    assert said in failed.stderr
    runs = json.loads(tidemill(tmp_path, "runs", "list", "--json").stdout)
    assert [r["status"] for r in runs] == ["FAILED", "FINISHED"]
    models = json.loads(tidemill(tmp_path, "models", "list", "--json").stdout)
    assert models[0]["aliases"] == {"champion": 1}


def test_a_module_that_cannot_be_imported_is_named(tmp_path: Path, tidemill: Tidemill) -> None:
    tidemill(tmp_path, "init")
    (tmp_path / "pipeline.py").write_text("import a_module_that_is_not_there\n")
    assert "a_module_that_is_not_there" in tidemill(tmp_path, "run", code=1).stderr
    (tmp_path / "pipeline.py").write_text("def fti(rows): ...\n")
    assert "'fti'" in tidemill(tmp_path, "run", code=1).stderr


def test_a_bad_file_is_refused_and_the_good_ones_are_used(
    tmp_path: Path, tidemill: Tidemill
) -> None:
    tidemill(tmp_path, "init")
    tidemill(tmp_path, "run")
    good = pl.read_parquet(tmp_path / "data" / "breast_cancer.parquet")
    good.drop("mean_radius").write_parquet(tmp_path / "data" / "bad.parquet")
    refused = tidemill(tmp_path, "data", "add", "rows", code=5)
    assert "mean_radius" in refused.stderr
    assert "bad.parquet" in refused.stderr
    listed = json.loads(tidemill(tmp_path, "data", "list", "--json").stdout)
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
    tmp_path: Path, tidemill: Tidemill, arguments: list[str], code: int
) -> None:
    tidemill(tmp_path, "init")
    assert tidemill(tmp_path, *arguments, code=code).stderr


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
