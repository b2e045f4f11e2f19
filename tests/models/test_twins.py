"""Twins: the estimators that people use answer through ONNX as they do themselves."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingClassifier,
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
    VotingRegressor,
)
from sklearn.feature_selection import SelectKBest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    LogisticRegression,
    PoissonRegressor,
    Ridge,
    SGDClassifier,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    SplineTransformer,
    StandardScaler,
    TargetEncoder,
)
from sklearn.svm import SVC, SVR, LinearSVC
from sklearn.tree import DecisionTreeClassifier

from tidemill.core.contract import Contract
from tidemill.core.tasks import Task
from tidemill.models.packing import pack
from tidemill.models.records import Manifest
from tidemill.models.session import OnnxModel

WHEN = datetime(2013, 2, 1, tzinfo=UTC)
PLACES = ["carrier", "dest"]
NUMBERS = ["temp", "seats", "wind"]
ContractOf = Callable[[pl.DataFrame], Contract]


def flights(rows: int = 900) -> pl.DataFrame:
    """Make rows with strings, missing values, integers, booleans and floats."""
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "carrier": rng.choice(["AA", "B6", "UA", "ÄÖ"], rows).tolist(),
            "dest": [
                None if i % 11 == 0 else f"D{d}" for i, d in enumerate(rng.integers(0, 40, rows))
            ],
            "temp": [None if i % 7 == 0 else v for i, v in enumerate(rng.normal(50, 20, rows))],
            "seats": rng.integers(50, 300, rows).tolist(),
            "hub": (rng.random(rows) < 0.3).tolist(),
            "wind": rng.gamma(2, 5, rows).tolist(),
        }
    )


def target(task: Task) -> pl.Series:
    x, rng = flights(), np.random.default_rng(1)
    z = (x["carrier"] == "B6").to_numpy() * 1.2 + x["wind"].to_numpy() / 10
    z = z + (x["temp"].fill_null(40).to_numpy() - 50) / 20 + rng.normal(size=len(x))
    if task == "regression":
        return pl.Series(z * 30 + 2000)
    if task == "binary":
        return pl.Series(z > 1.0)
    return pl.Series(np.array(["low", "mid", "high"])[np.digitize(z, [0.5, 1.8])])


def packed(
    model: Any, x: pl.DataFrame, task: Task, contract: Contract, folder: Path
) -> tuple[Manifest, Any]:
    """Fit on the first rows, pack with the others, and return the manifest and the model."""
    y, cut = target(task), len(x) * 2 // 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations, on purpose
        fitted = model.fit(x[:cut], y[:cut])
    manifest = pack(
        fitted,
        name="m",
        task=task,
        contract=contract,
        sample=x[cut:],
        folder=folder,
        created=WHEN,
    )
    return manifest, fitted


def ordinal(**options: Any) -> ColumnTransformer:
    unknown = {"handle_unknown": "use_encoded_value", "unknown_value": -1}
    return ColumnTransformer(
        [("places", OrdinalEncoder(**unknown, **options), PLACES)], remainder="passthrough"
    )


def one_hot(**options: Any) -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(add_indicator=True), StandardScaler())
    options = {"handle_unknown": "ignore", **options}
    return ColumnTransformer(
        [
            ("numbers", numbers, NUMBERS),
            ("places", OneHotEncoder(**options), PLACES),
            ("hub", "passthrough", ["hub"]),
        ]
    )


BOTH: tuple[Task, ...] = ("binary", "multiclass")
CLASSIFIERS: list[Any] = [
    HistGradientBoostingClassifier(max_iter=15),
    RandomForestClassifier(10, random_state=0),
    GradientBoostingClassifier(n_estimators=10),
    DecisionTreeClassifier(),
    LogisticRegression(),
    SGDClassifier(loss="log_loss"),
    MLPClassifier(max_iter=10),
    KNeighborsClassifier(),
    GaussianNB(),
    AdaBoostClassifier(n_estimators=5),
    BaggingClassifier(n_estimators=3),
    CalibratedClassifierCV(LinearSVC(), cv=2),
    CalibratedClassifierCV(HistGradientBoostingClassifier(max_iter=5), method="isotonic", cv=2),
    VotingClassifier([("a", LogisticRegression()), ("b", GaussianNB())], voting="soft"),
    StackingClassifier([("a", HistGradientBoostingClassifier(max_iter=5)), ("b", GaussianNB())]),
]
REGRESSORS: list[Any] = [
    HistGradientBoostingRegressor(max_iter=15),
    HistGradientBoostingRegressor(max_iter=10, loss="poisson"),
    RandomForestRegressor(10),
    ExtraTreesRegressor(5),
    GradientBoostingRegressor(n_estimators=10),
    Ridge(),
    ElasticNet(),
    PoissonRegressor(),
    SVR(),
    KNeighborsRegressor(),
    MLPRegressor(max_iter=10),
    VotingRegressor([("a", Ridge()), ("b", RandomForestRegressor(3))]),
    TransformedTargetRegressor(Ridge(), func=np.log1p, inverse_func=np.expm1),
]


@pytest.mark.parametrize("task", BOTH)
@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda m: type(m).__name__)
def test_classifiers(model: Any, task: Task, contract_of: ContractOf, tmp_path: Path) -> None:
    x = flights().select(NUMBERS).with_columns(pl.col("temp").fill_null(50.0))
    manifest, _ = packed(make_pipeline(StandardScaler(), model), x, task, contract_of(x), tmp_path)
    assert manifest.twin, manifest.no_twin
    assert manifest.twin.parity.max_difference < 1e-6
    assert manifest.saved_as == "skops"


@pytest.mark.parametrize("model", REGRESSORS, ids=lambda m: type(m).__name__)
def test_regressors(model: Any, contract_of: ContractOf, tmp_path: Path) -> None:
    x = flights().select(NUMBERS).with_columns(pl.col("temp").fill_null(50.0))
    model = make_pipeline(StandardScaler(), model)
    manifest, _ = packed(model, x, "regression", contract_of(x), tmp_path)
    assert manifest.twin, manifest.no_twin
    assert manifest.twin.parity.max_difference < 1e-9
    assert manifest.saved_as == "skops"


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(ordinal(), HistGradientBoostingClassifier(max_iter=10)),
        make_pipeline(ordinal(min_frequency=20), RandomForestClassifier(5)),
        make_pipeline(ordinal(encoded_missing_value=-2), DecisionTreeClassifier()),
        make_pipeline(
            ordinal(), HistGradientBoostingClassifier(max_iter=10, categorical_features=[0, 1])
        ),
        make_pipeline(one_hot(), LogisticRegression(max_iter=300)),
        make_pipeline(one_hot(drop="first"), LogisticRegression(max_iter=300)),
        make_pipeline(one_hot(drop="if_binary", sparse_output=False), LogisticRegression()),
        make_pipeline(
            one_hot(min_frequency=30, handle_unknown="infrequent_if_exist"), LogisticRegression()
        ),
        make_pipeline(
            ColumnTransformer([("places", TargetEncoder(cv=2), PLACES)], remainder="passthrough"),
            HistGradientBoostingClassifier(max_iter=10),
        ),
        make_pipeline(
            ColumnTransformer(
                [
                    (
                        "places",
                        make_pipeline(
                            SimpleImputer(strategy="most_frequent", missing_values=None),
                            OneHotEncoder(handle_unknown="ignore"),
                        ),
                        PLACES,
                    ),
                    ("wind", FunctionTransformer(np.log1p), ["wind"]),
                ]
            ),
            LogisticRegression(),
        ),
        GridSearchCV(
            make_pipeline(ordinal(), HistGradientBoostingClassifier(max_iter=5)),
            {"histgradientboostingclassifier__max_depth": [2, 3]},
            cv=2,
        ),
    ],
    ids=lambda m: "-".join(n for n, _ in getattr(m, "steps", [("search", m)])),
)
@pytest.mark.filterwarnings("ignore:Found unknown categories")
@pytest.mark.filterwarnings("ignore:The least populated class")
def test_pipelines_over_mixed_columns(model: Any, contract_of: ContractOf, tmp_path: Path) -> None:
    x = flights()
    manifest, fitted = packed(model, x, "binary", contract_of(x), tmp_path)
    assert manifest.twin, manifest.no_twin
    assert manifest.twin.parity.max_difference < 1e-12
    assert manifest.twin.parity.probes > 0
    rows = x[-20:]
    answer = OnnxModel(tmp_path).predict({c: rows[c].to_list() for c in rows.columns})
    assert np.allclose(answer.scores, fitted.predict_proba(rows)[:, 1], atol=1e-12)


@pytest.mark.parametrize(
    "steps",
    [
        [RobustScaler(), MinMaxScaler(clip=True), PCA(2, whiten=True), SelectKBest(k=1)],
        [FeatureUnion([("a", StandardScaler()), ("b", PCA(2))]), PolynomialFeatures()],
    ],
    ids=["projection", "union"],
)
def test_steps_between(steps: list[Any], contract_of: ContractOf, tmp_path: Path) -> None:
    x = flights().select("seats", "wind")
    model = make_pipeline(*steps, LogisticRegression(max_iter=1000))
    manifest, _ = packed(model, x, "binary", contract_of(x), tmp_path)
    assert manifest.twin, manifest.no_twin


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        (FunctionTransformer(lambda rows: rows.select("wind")), "user's own"),
        (SplineTransformer(), "SplineTransformer"),
    ],
    ids=["function", "splines"],
)
def test_a_bundle_says_why_it_has_no_twin(
    step: Any, reason: str, contract_of: ContractOf, tmp_path: Path
) -> None:
    x = flights().select("seats", "wind")
    manifest, _ = packed(make_pipeline(step, Ridge()), x, "regression", contract_of(x), tmp_path)
    assert manifest.twin is None
    assert manifest.no_twin is not None
    assert reason in manifest.no_twin
    assert manifest.original is not None


def test_what_the_original_refuses_the_signature_refuses(
    contract_of: ContractOf, tmp_path: Path
) -> None:
    """A linear model raises on a missing value, where its graph would answer nonsense."""
    x = flights().select("carrier", "wind", "seats")
    encode = ColumnTransformer(
        [("places", OneHotEncoder(handle_unknown="error"), ["carrier"])], remainder="passthrough"
    )
    model = make_pipeline(encode, LogisticRegression(max_iter=2000))
    manifest, _ = packed(model, x, "binary", contract_of(x), tmp_path)
    columns = {c.name: c for c in manifest.signature.features}
    assert not columns["wind"].nullable
    assert not columns["carrier"].nullable
    assert columns["carrier"].values == ("AA", "B6", "UA", "ÄÖ")


def test_a_classifier_without_probabilities_is_refused_with_advice(
    contract_of: ContractOf, tmp_path: Path
) -> None:
    from tidemill.models.errors import CannotBeSaved

    x = flights().select("seats", "wind")
    with pytest.raises(CannotBeSaved, match="CalibratedClassifierCV"):
        packed(SVC(), x, "binary", contract_of(x), tmp_path)


def test_moments_are_features_as_microseconds(contract_of: ContractOf, tmp_path: Path) -> None:
    from datetime import timedelta

    from tidemill.core.contract import Column

    hours = pl.Series("at", [WHEN + timedelta(hours=i) for i in range(900)])
    x = pl.DataFrame({"at": hours.dt.replace_time_zone(None)})
    model = make_pipeline(StandardScaler(), Ridge())
    y = pl.Series(range(900))
    fitted = model.fit(x, y)
    contract = Contract(columns=(Column(name="at", type="datetime", nullable=False),))
    manifest = pack(
        fitted,
        name="m",
        task="regression",
        contract=contract,
        sample=x,
        folder=tmp_path,
        created=WHEN,
    )
    assert manifest.twin, manifest.no_twin
    answer = OnnxModel(tmp_path).predict({"at": ["2013-02-01T05:00:00Z"]})
    assert answer.values[0] == pytest.approx(fitted.predict(x[5:6])[0])
