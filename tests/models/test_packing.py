"""Packing: the original is saved, the twin answers as it does, and both say what they are."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from tidemill.core.contract import Contract
from tidemill.core.tasks import Task
from tidemill.models.bundle import MANIFEST, open_bundle
from tidemill.models.errors import BundleDamaged, BundleNotFound, CannotBeSaved, NotTrusted
from tidemill.models.packing import FLAVORS, flavor_of, pack
from tidemill.models.protocol import Saved
from tidemill.models.session import OnnxModel

WHEN = datetime(2013, 2, 1, tzinfo=UTC)
Load = Callable[[str], tuple[pl.DataFrame, pl.Series]]
ContractOf = Callable[[pl.DataFrame], Contract]


@pytest.mark.parametrize(
    ("data", "task", "estimator"),
    [
        ("breast_cancer", "binary", HistGradientBoostingClassifier(max_iter=20)),
        ("breast_cancer", "binary", make_pipeline(StandardScaler(), LogisticRegression())),
        ("breast_cancer", "binary", RandomForestClassifier(n_estimators=20, random_state=0)),
        ("wine", "multiclass", HistGradientBoostingClassifier(max_iter=20)),
        ("wine", "multiclass", make_pipeline(StandardScaler(), LogisticRegression())),
        ("diabetes", "regression", HistGradientBoostingRegressor(max_iter=20)),
        ("diabetes", "regression", make_pipeline(SimpleImputer(), Ridge())),
    ],
)
def test_the_twin_answers_as_the_original_does(
    data: str, task: Task, estimator: Any, load: Load, contract_of: ContractOf, tmp_path: Path
) -> None:
    x, y = load(data)
    model = estimator.fit(x, y)
    manifest = pack(
        model,
        name=data,
        task=task,
        contract=contract_of(x),
        sample=x,
        folder=tmp_path / "bundle",
        created=WHEN,
    )
    assert manifest.no_twin is None
    assert manifest.twin is not None
    assert manifest.twin.parity.rows == len(x)
    assert manifest.twin.parity.label_mismatches == 0
    answer = OnnxModel(tmp_path / "bundle").predict({c: x[c].to_list() for c in x.columns})
    assert np.mean(answer.values == model.predict(x)) == 1 or task == "regression"
    if task == "regression":
        assert np.allclose(answer.values, model.predict(x), rtol=1e-5)
        assert answer.scores is None
    else:
        expected = model.predict_proba(x)
        expected = expected[:, 1] if task == "binary" else expected
        assert np.allclose(answer.scores, expected, atol=1e-5)


def test_strings_and_missing_values_reach_the_twin(contract_of: ContractOf, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    x = pl.DataFrame(
        {
            "carrier": rng.choice(["AA", "B6", "UA"], 500).tolist(),
            "temp": [None if i % 7 == 0 else float(v) for i, v in enumerate(rng.normal(size=500))],
            "seats": rng.integers(50, 300, 500).tolist(),
        }
    )
    y = pl.Series((x["carrier"] == "B6") ^ (x["temp"].fill_null(0) > 0))
    places = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    encode = ColumnTransformer([("c", places, ["carrier"])], remainder="passthrough")
    model = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=30)).fit(x, y)
    pack(
        model,
        name="m",
        task="binary",
        contract=contract_of(x),
        sample=x,
        folder=tmp_path,
        created=WHEN,
    )
    twin = OnnxModel(tmp_path)
    answer = twin.predict({"carrier": ["AA", "unheard of"], "temp": [None, 1.0], "seats": [99, 50]})
    frame = pl.DataFrame({"carrier": ["AA", "unheard of"], "temp": [None, 1.0], "seats": [99, 50]})
    assert np.allclose(answer.scores, model.predict_proba(frame)[:, 1], atol=1e-6)
    assert answer.values.dtype == bool


def test_one_hot_encoding_converts(contract_of: ContractOf, tmp_path: Path) -> None:
    x = pl.DataFrame({"colour": ["red", "blue"] * 50, "size": [float(i) for i in range(100)]})
    y = pl.Series(["small"] * 50 + ["large"] * 50)
    encode = ColumnTransformer(
        [
            ("c", OneHotEncoder(handle_unknown="ignore"), ["colour"]),
            ("n", StandardScaler(), ["size"]),
        ]
    )
    model = make_pipeline(encode, LogisticRegression()).fit(x, y)
    manifest = pack(
        model,
        name="m",
        task="binary",
        contract=contract_of(x),
        sample=x,
        folder=tmp_path,
        created=WHEN,
        positive="large",
    )
    assert manifest.no_twin is None
    assert manifest.signature.positive == "large"
    answer = OnnxModel(tmp_path).predict({"colour": ["red"], "size": [99.0]})
    assert answer.values.tolist() == ["large"]


def test_trees_decide_alike_next_to_a_threshold(contract_of: ContractOf, tmp_path: Path) -> None:
    """Single precision would round these values onto the other side of the split."""
    values = [1.0 + i * 1e-9 for i in range(200)]
    x = pl.DataFrame({"v": values})
    y = pl.Series([i >= 100 for i in range(200)])
    model = HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=1).fit(x, y)
    manifest = pack(
        model,
        name="m",
        task="binary",
        contract=contract_of(x),
        sample=x,
        folder=tmp_path,
        created=WHEN,
    )
    assert manifest.twin is not None
    assert manifest.twin.parity.label_mismatches == 0


def test_the_original_comes_back_by_policy(
    load: Load, contract_of: ContractOf, tmp_path: Path
) -> None:
    x, y = load("breast_cancer")
    model = HistGradientBoostingClassifier(max_iter=5).fit(x, y)
    manifest = pack(
        model,
        name="m",
        task="binary",
        contract=contract_of(x),
        sample=x,
        folder=tmp_path,
        created=WHEN,
    )
    assert manifest.saved_as == "skops"
    flavor = FLAVORS.load("sklearn")
    again = flavor.load(tmp_path, Saved(manifest.original or "", "skops"), "never")
    assert np.array_equal(again.predict_proba(x), model.predict_proba(x))
    (tmp_path / "model.pickle").write_bytes(b"never read")
    with pytest.raises(NotTrusted):
        flavor.load(tmp_path, Saved("model.pickle", "pickle"), "signed")


@pytest.mark.parametrize(("thing", "named"), [(None, "nothing"), (42, "int"), ({}, "dict")])
def test_what_is_no_model_is_refused_by_name(thing: object, named: str) -> None:
    with pytest.raises(CannotBeSaved, match=named):
        flavor_of(thing)


def test_a_changed_file_is_found(load: Load, contract_of: ContractOf, tmp_path: Path) -> None:
    x, y = load("diabetes")
    pack(
        Ridge().fit(x, y),
        name="m",
        task="regression",
        contract=contract_of(x),
        sample=x,
        folder=tmp_path,
        created=WHEN,
    )
    graph = tmp_path / "model.onnx"
    content = bytearray(graph.read_bytes())
    content[-1] ^= 1
    graph.write_bytes(content)
    with pytest.raises(BundleDamaged, match=r"model\.onnx"):
        open_bundle(tmp_path)
    graph.unlink()
    with pytest.raises(BundleDamaged, match="missing"):
        open_bundle(tmp_path, verify=False)


def test_a_manifest_cannot_name_files_outside(
    load: Load, contract_of: ContractOf, tmp_path: Path
) -> None:
    x, y = load("diabetes")
    folder = tmp_path / "bundle"
    pack(
        Ridge().fit(x, y),
        name="m",
        task="regression",
        contract=contract_of(x),
        sample=x,
        folder=folder,
        created=WHEN,
    )
    text = (folder / MANIFEST).read_text().replace("model.onnx", "../secret")
    (folder / MANIFEST).write_text(text)
    with pytest.raises(BundleDamaged, match="outside"):
        open_bundle(folder)
    with pytest.raises(BundleNotFound):
        open_bundle(tmp_path / "nowhere")
