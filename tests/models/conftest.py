"""Small real data, and contracts for them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import polars as pl
import pytest
from sklearn import datasets
from threadpoolctl import threadpool_limits

from tidemill.core.contract import Column, Contract


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Fit on one thread: the data are small, and threads that wait for each other are slow."""
    with threadpool_limits(1):
        yield


Table = tuple[pl.DataFrame, pl.Series]


@pytest.fixture(scope="session")
def load() -> Callable[[str], Table]:
    """Read one of scikit-learn's bundled data sets as features and target."""

    def read(name: str) -> Table:
        bunch = getattr(datasets, f"load_{name}")()
        names = [str(n).replace(" ", "_") for n in bunch.feature_names]
        return pl.DataFrame(bunch.data, schema=names), pl.Series("target", bunch.target)

    return read


@pytest.fixture(scope="session")
def contract_of() -> Callable[[pl.DataFrame], Contract]:
    """Infer the plainest contract of a frame."""

    def infer(frame: pl.DataFrame) -> Contract:
        kinds = {pl.String: "string", pl.Boolean: "bool", pl.Int64: "int"}
        return Contract(
            columns=tuple(
                Column(name=name, type=kinds.get(type(dtype), "float"))  # type: ignore[arg-type]
                for name, dtype in frame.schema.items()
            )
        )

    return infer
