"""Bundles without a twin, and environments for them that are built once."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidemill.core.clock import SystemClock
from tidemill.core.contract import Column, Contract
from tidemill.core.tasks import Task
from tidemill.models.packing import pack
from tidemill.models.runtime.environments import Environments
from tidemill.models.runtime.limits import Limits
from tidemill.models.runtime.model import RuntimeModel, prepare

WHEN = datetime(2013, 2, 1, tzinfo=UTC)
CONTRACT = Contract(
    columns=(
        Column(name="x", type="float"),
        Column(name="count", type="int"),
        Column(name="word", type="string"),
        Column(name="sure", type="bool"),
        Column(name="when", type="datetime"),
        Column(name="day", type="date"),
    )
)
ROWS = pl.DataFrame(
    {
        "x": [0.5, None, 2.5],
        "count": [1, 2, None],
        "word": ["a", None, "ü"],
        "sure": [True, False, None],
        "when": [datetime(2013, 2, 1, 6, 30, tzinfo=UTC), None, datetime(1969, 1, 1, tzinfo=UTC)],
        "day": [date(2013, 2, 1), date(1969, 7, 20), None],
    },
    schema_overrides={"day": pl.Date},
).with_columns(pl.col("when").dt.replace_time_zone(None).cast(pl.Datetime("us")))
Make = Callable[..., Path]
Open = Callable[..., RuntimeModel]


@pytest.fixture(scope="session")
def environments(model_environments: Path) -> Environments:
    return Environments(model_environments)


@pytest.fixture
def bundle(tmp_path: Path, environments: Environments) -> Make:
    """Pack what a training function might return, and build its environment."""

    def make(model: Any, task: Task = "regression", contract: Contract = CONTRACT) -> Path:
        folder = tmp_path / f"bundle-{len(list(tmp_path.iterdir()))}"
        sample = ROWS.select(c.name for c in contract.features)
        manifest = pack(
            model,
            name="own",
            task=task,
            contract=contract,
            sample=sample,
            folder=folder,
            created=WHEN,
        )
        assert manifest.twin is None
        prepare(folder, environments)
        return folder

    return make


@pytest.fixture
def opened(environments: Environments) -> Iterator[Open]:
    """Open bundles, and close them at the end."""
    models: list[RuntimeModel] = []

    def begin(folder: Path, **limits: Any) -> RuntimeModel:
        model = RuntimeModel(
            folder,
            environments=environments,
            trust="own",
            clock=SystemClock(),
            limits=Limits(**limits),
        )
        models.append(model)
        return model

    yield begin
    for model in models:
        model.close()


def until(claim: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not claim():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.02)


def shoot(pid: int) -> None:
    """End a process as the kernel does when memory is short."""
    os.kill(pid, signal.SIGKILL)


def numbers(values: list[float]) -> dict[str, Any]:
    """Columns of a request for a model that takes `x` alone."""
    return {"x": np.array(values, dtype=np.float64)}


ONLY_X = Contract(columns=(Column(name="x", type="float"),))
