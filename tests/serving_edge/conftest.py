"""Edge bundles, and an environment that has onnxruntime and numpy and nothing else."""

from __future__ import annotations

import re
import sys
import venv
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

from tidemill.core.contract import Column, Contract
from tidemill.models.packing import pack
from tidemill.models.signing import Provenance, Signer
from tidemill.serving.edge.exporting import export

WHEN = datetime(2013, 2, 1, tzinfo=UTC)
PROVENANCE = Provenance(model="flight-delay", version=7, run="0192", datasets=("flights@3f9a",))
CONTRACT = Contract(
    columns=(
        Column(name="flight_id", type="int", role="key"),
        Column(name="carrier", type="string"),
        Column(name="temp", type="float", min=-100, max=200),
        Column(name="seats", type="int", nullable=False),
        Column(name="hub", type="bool"),
    )
)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield


def flights(rows: int) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "carrier": [
                None if i % 13 == 5 else c for i, c in enumerate(rng.choice(["ÄÖ", "UA"], rows))
            ],
            "temp": [None if i % 7 == 3 else t for i, t in enumerate(rng.normal(50, 20, rows))],
            "seats": rng.integers(50, 300, rows),
            "hub": rng.random(rows) < 0.5,
        }
    )


def make_bundle(folder: Path, task: str) -> Path:
    x = flights(400)
    late = x["temp"].fill_null(50) + x["seats"] / 10
    encode = ColumnTransformer(
        [("c", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["carrier"])],
        remainder="passthrough",
    )
    labels = {
        "binary": late > 65,
        "multiclass": pl.Series(np.array(["early", "late", "very"])[np.digitize(late, [55, 75])]),
        "regression": late,
    }[task]
    if task == "regression":
        contract = Contract(columns=(Column(name="seats", type="int"),))
        x = x.select("seats")
        model = Ridge()
    else:
        contract = CONTRACT
        model = make_pipeline(encode, HistGradientBoostingClassifier(max_iter=5))
    pack(
        model.fit(x, labels),
        name="flight-delay",
        task=task,  # type: ignore[arg-type]
        contract=contract,
        sample=x[:100],
        folder=folder,
        created=WHEN,
        threshold=0.4,
    )
    return folder


@pytest.fixture(scope="session")
def signer(tmp_path_factory: pytest.TempPathFactory) -> Signer:
    return Signer.open(tmp_path_factory.mktemp("keys") / "signing.pem")


@pytest.fixture(scope="session", params=["binary", "multiclass", "regression"])
def bundle(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundles") / "bundle", request.param)


@pytest.fixture
def edge(tmp_path: Path, signer: Signer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = make_bundle(tmp_path_factory.mktemp("bundles") / "bundle", "binary")
    export(folder, tmp_path / "edge", signer=signer, provenance=PROVENANCE)
    return tmp_path / "edge"


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make an environment with onnxruntime, numpy and what they need, and without pip.

    The packages are links to those that are installed here, so that nothing is downloaded.
    """
    folder = tmp_path_factory.mktemp("bare") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    library = "Lib" if sys.platform == "win32" else f"lib/python3.{sys.version_info.minor}"
    site = folder / library / "site-packages"
    for name in sorted(_needed({"onnxruntime", "numpy"})):
        found = distribution(name)
        for top in {Path(f).parts[0] for f in found.files or () if Path(f).parts[0] != ".."}:
            if top != "__pycache__" and not (site / top).exists():
                (site / top).symlink_to(Path(str(found.locate_file(top))))
    return folder / "bin" / "python"


def _needed(names: set[str]) -> set[str]:
    found: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        try:
            requirements = distribution(name).requires or []
        except PackageNotFoundError:
            continue
        found.add(name)
        for requirement in requirements:
            match = re.match(r"[A-Za-z0-9._-]+", requirement)
            if match and "extra ==" not in requirement and match.group() not in found:
                waiting.add(match.group())
    return found
