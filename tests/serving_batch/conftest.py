"""Bundles and files to score."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder, StandardScaler
from threadpoolctl import threadpool_limits

from tidemill.core.contract import Column, Contract
from tidemill.models.packing import pack

WHEN = datetime(2013, 2, 1, tzinfo=UTC)
CONTRACT = Contract(
    columns=(
        Column(name="flight_id", type="int", role="key"),
        Column(name="departure", type="datetime", role="time"),
        Column(name="carrier", type="string"),
        Column(name="temp", type="float", min=-100, max=200),
        Column(name="seats", type="int"),
        Column(name="hub", type="bool"),
    )
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def flights(rows: int, *, first: int = 0) -> pl.DataFrame:
    rng = np.random.default_rng(first)
    return pl.DataFrame(
        {
            "flight_id": range(first, first + rows),
            "departure": [WHEN + timedelta(minutes=i) for i in range(rows)],
            "carrier": [
                None if i % 13 == 5 else c for i, c in enumerate(rng.choice(["AA", "UA"], rows))
            ],
            "temp": [None if i % 7 == 3 else t for i, t in enumerate(rng.normal(50, 20, rows))],
            "seats": rng.integers(50, 300, rows),
            "hub": rng.random(rows) < 0.5,
            "note": ["not a feature"] * rows,
        }
    )


def features(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select(c.name for c in CONTRACT.features)


def make_bundle(folder: Path, task: str) -> Path:
    rows = flights(400)
    x = features(rows)
    late = rows["temp"].fill_null(50) + rows["seats"] / 10
    encode = ColumnTransformer(
        [("c", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["carrier"])],
        remainder="passthrough",
    )
    model = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=5))
    labels = {
        "binary": late > 65,
        "multiclass": pl.Series(np.array(["early", "late", "very"])[np.digitize(late, [55, 75])]),
    }[task]
    pack(
        model.fit(x, labels),
        name="flight-delay",
        task=task,  # type: ignore[arg-type]
        contract=CONTRACT,
        sample=x[:100],
        folder=folder,
        created=WHEN,
    )
    return folder


def make_linear_bundle(folder: Path, columns: int = 20) -> Path:
    names = [f"f{i}" for i in range(columns)]
    x = pl.DataFrame(np.random.default_rng(0).normal(size=(100, columns)), schema=names)
    model = make_pipeline(StandardScaler(), Ridge()).fit(x, x["f0"] * 3)
    contract = Contract(columns=tuple(Column(name=n, type="float", nullable=False) for n in names))
    pack(
        model,
        name="linear",
        task="regression",
        contract=contract,
        sample=x,
        folder=folder,
        created=WHEN,
    )
    return folder


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "binary", "binary")


@pytest.fixture(scope="session")
def multiclass(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "multiclass", "multiclass")


@pytest.fixture(scope="session")
def linear(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_linear_bundle(tmp_path_factory.mktemp("bundles") / "linear")
