"""A new project: it can be read, it can be trained, and nothing of the user's is written over."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from sklearn.datasets import load_diabetes, load_iris

from tidemill.cli.entry import run
from tidemill.cli.scaffold import LabelNeeded, ProjectExists, scaffold
from tidemill.core.policy.errors import BadPolicy
from tidemill.core.policy.reader import read_policy
from tidemill.datasets import frames
from tidemill.datasets.contracts import read_contract
from tidemill.datasets.errors import BadContract, UnreadableData

ODD = 'the "label" \\ of {it}'


def table(bunch: object, label: str = "y") -> pl.DataFrame:
    names = [str(n) for n in bunch.feature_names]  # type: ignore[attr-defined]
    frame = pl.DataFrame(bunch.data, schema=names)  # type: ignore[attr-defined]
    return frame.with_columns(pl.Series(label, bunch.target))  # type: ignore[attr-defined]


def make(folder: Path, data: Path | None = None, **options: object) -> list[Path]:
    given = {"label": None, "time": None, "key": None, "model": "model", "github": False}
    return list(scaffold(folder, data=data, **(given | options)).files)  # type: ignore[arg-type]


def trained(folder: Path, label: str) -> object:
    """Run the project's own function on the project's own data."""
    names: dict[str, object] = {}
    code = (folder / "pipeline.py").read_text("utf-8")
    exec(compile(code, "pipeline.py", "exec"), names)
    contract = read_contract(folder / "contracts" / "rows.toml")
    file = next((folder / "data").iterdir())
    rows = frames.collect(frames.scan(file), file.name)
    features = [c.name for c in contract.features]
    fit = names["fit"]
    return fit(rows.select(*features, label), seed=1)  # type: ignore[operator]


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_project_is_made_for_any_table_with_a_label(
    tmp_path: Path, task: str, suffix: str
) -> None:
    rows = table(load_diabetes() if task == "regression" else load_iris(), ODD)
    if task == "binary":
        rows = rows.with_columns((pl.col(ODD) == 1).alias(ODD))
    rows = rows.with_columns(place=pl.lit("here"))
    data = tmp_path / f"the rows.{suffix}"
    rows.write_csv(data) if suffix == "csv" else rows.write_parquet(data)
    make(tmp_path / "p", data, label=ODD, github=True)
    policy = read_policy((tmp_path / "p" / "tidemill.toml").read_bytes())
    assert policy.datasets["rows"].label == ODD
    assert set(policy.models["model"].gate) == {"r2" if task == "regression" else "roc_auc"}
    model = trained(tmp_path / "p", ODD)
    kind = "Regressor" if task == "regression" else "Classifier"
    assert kind in type(model.steps[-1][1]).__name__  # type: ignore[attr-defined]
    workflow = (tmp_path / "p" / ".github" / "workflows" / "tidemill.yml").read_text("utf-8")
    assert "tidemill ci" in workflow


def test_without_data_the_project_comes_with_some(tmp_path: Path) -> None:
    written = make(tmp_path)
    assert {p.relative_to(tmp_path).as_posix() for p in written} == {
        "tidemill.toml",
        "pipeline.py",
        "data/breast_cancer.parquet",
        "contracts/rows.toml",
    }
    assert trained(tmp_path, "target") is not None


def test_nothing_of_the_users_is_written_over(tmp_path: Path) -> None:
    (tmp_path / "pipeline.py").write_text("mine = 1\n")
    with pytest.raises(ProjectExists, match=r"pipeline\.py"):
        make(tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["pipeline.py"]
    assert (tmp_path / "pipeline.py").read_text() == "mine = 1\n"


def test_data_that_lie_in_the_project_stay_where_they_are(tmp_path: Path) -> None:
    data = tmp_path / "data" / "rows.csv"
    data.parent.mkdir()
    table(load_iris()).write_csv(data)
    make(tmp_path, data, label="y")
    assert frames.collect(frames.scan(data), "rows.csv").height == 150


def test_mistakes_are_named_and_nothing_is_written(tmp_path: Path) -> None:
    data = tmp_path / "rows.csv"
    table(load_iris()).write_csv(data)
    project = tmp_path / "p"
    with pytest.raises(LabelNeeded, match="label"):
        make(project, data)
    with pytest.raises(BadContract, match="'yy'"):
        make(project, data, label="yy")
    with pytest.raises(BadPolicy, match="no name"):
        make(project, data, label="y", model='"a b"')
    with pytest.raises(UnreadableData, match="not there"):
        make(project, tmp_path / "nothing.csv", label="y")
    assert not project.exists()


def orders(days: int, many: int = 6000) -> pl.DataFrame:
    start = datetime(2026, 1, 1, tzinfo=UTC)
    return pl.DataFrame(
        {
            "Order ID": [f"A{n:06}" for n in range(many)],
            "lines": range(many),
            "ordered at": [start + timedelta(days=days) * n / many for n in range(many)],
            "note": ["two words"] * many,
            "price": [float(n % 90) for n in range(many)],
        }
    )


@pytest.mark.parametrize(
    ("days", "holdout"), [(90, 604800.0), (9, 0.2), (3000, 0.2)], ids=["months", "days", "years"]
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_when_a_row_happened_and_which_it_is_are_told_by_the_data(
    tmp_path: Path, suffix: str, days: int, holdout: float
) -> None:
    data = tmp_path / f"orders.{suffix}"
    rows = orders(days)
    rows.write_csv(data) if suffix == "csv" else rows.write_parquet(data)
    make(tmp_path / "p", data, label="price")
    policy = read_policy((tmp_path / "p" / "tidemill.toml").read_bytes())
    assert policy.datasets["rows"].time == "ordered at"
    assert policy.datasets["rows"].key == "Order ID"
    assert policy.models["model"].holdout == holdout
    contract = read_contract(tmp_path / "p" / "contracts" / "rows.toml")
    assert [c.name for c in contract.features] == ["lines", "note"]


def test_what_could_be_several_columns_is_not_guessed(tmp_path: Path) -> None:
    data = tmp_path / "orders.parquet"
    again = pl.col("ordered at").alias("sent at"), pl.col("Order ID").alias("invoice no")
    orders(90).with_columns(*again).write_parquet(data)
    make(tmp_path / "p", data, label="price")
    policy = read_policy((tmp_path / "p" / "tidemill.toml").read_bytes())
    assert (policy.datasets["rows"].time, policy.datasets["rows"].key) == (None, None)
    make(tmp_path / "q", data, label="price", time="sent at", key="invoice no")
    policy = read_policy((tmp_path / "q" / "tidemill.toml").read_bytes())
    assert policy.datasets["rows"].time == "sent at"
    assert policy.datasets["rows"].key == "invoice no"


def test_it_is_said_what_was_guessed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "orders.parquet"
    orders(90).write_parquet(data)
    assert run(["init", str(tmp_path / "p"), "--data", str(data), "--label", "price"]) == 0
    said = capsys.readouterr().err
    assert "'ordered at' seems to say when a row happened: --time would name another." in said
    assert "'Order ID' seems to say which row it is: --key would name another." in said
