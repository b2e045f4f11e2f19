"""Bundles, and workers as real processes."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import numpy as np
import polars as pl
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tidemill.core.contract import Column, Contract
from tidemill.models.packing import pack
from tidemill.serving.routes import EndpointRoutes, RouteTable, RouteTarget, write_routes

# Programs that other interpreters run.
collect_ignore = ["clients"]
NUMBERS = ("a", "b", "c")
MOMENT = datetime(2013, 1, 31, tzinfo=UTC)


def numeric_contract(**options: Any) -> Contract:
    """Three numbers, the second of them in a range, and a key."""
    return Contract(
        columns=(
            Column(name="a", type="float"),
            Column(name="b", type="float", min=-50.0, max=50.0, nullable=False),
            Column(name="c", type="int"),
            Column(name="row", type="string", role="key"),
        )
    )


def _rows(seed: int, count: int = 400) -> tuple[pl.DataFrame, Any]:
    rng = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {"a": rng.normal(size=count), "b": rng.normal(size=count), "c": rng.integers(0, 9, count)}
    )
    return frame, frame["a"].to_numpy() + 0.2 * frame["c"].to_numpy()


@pytest.fixture(scope="session")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles `one` and `two` (binary), `three` (multiclass), `line` (regression), `words`."""
    root = tmp_path_factory.mktemp("bundles")
    for seed, name in ((1, "one"), (2, "two")):
        frame, value = _rows(seed)
        model = HistGradientBoostingClassifier(max_iter=10, random_state=seed)
        model.fit(frame.to_pandas(), value > 0.9)
        _pack(model, "binary", numeric_contract(), frame, root / name)
    frame, value = _rows(3)
    kinds = np.digitize(value, [0.0, 1.0])
    scaled = make_pipeline(StandardScaler(), LogisticRegression()).fit(frame.to_pandas(), kinds)
    _pack(scaled, "multiclass", numeric_contract(), frame, root / "three")
    line = LinearRegression().fit(frame.to_pandas(), value)
    _pack(line, "regression", numeric_contract(), frame, root / "line")
    _words(root / "words")
    _mixed(root / "mixed")
    return root


def _words(folder: Path) -> None:
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(5)
    frame = pl.DataFrame(
        {"carrier": rng.choice(["AA", "UA", "DL"], 300), "x": rng.normal(size=300)}
    )
    late = (frame["carrier"] == "AA").to_numpy() | (frame["x"].to_numpy() > 1)
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["carrier"]), remainder="passthrough"
        ),
        LogisticRegression(),
    ).fit(frame.to_pandas(), late)
    contract = Contract(
        columns=(
            Column(name="carrier", type="string", values=("AA", "UA", "DL"), nullable=False),
            Column(name="x", type="float"),
        )
    )
    _pack(model, "binary", contract, frame, folder)


def _mixed(folder: Path) -> None:
    """A truth, a text that may be any, and a moment; the answer is a text."""
    from sklearn.compose import make_column_transformer
    from sklearn.preprocessing import OneHotEncoder

    rng = np.random.default_rng(6)
    hours = pl.Series([MOMENT + timedelta(hours=int(h)) for h in rng.integers(0, 900, 300)])
    frame = pl.DataFrame(
        {
            "new": rng.random(300) > 0.5,
            "place": rng.choice(["Zürich", "Bern", ""], 300),
            "at": hours.dt.replace_time_zone(None),
        }
    )
    kinds = np.where(frame["new"] & (frame["place"] == "Bern"), "early", "late")
    model = make_pipeline(
        make_column_transformer(
            (OneHotEncoder(handle_unknown="ignore"), ["place"]),
            (StandardScaler(), ["at"]),
            (StandardScaler(), ["new"]),
        ),
        LogisticRegression(),
    ).fit(frame, kinds)
    contract = Contract(
        columns=(
            Column(name="new", type="bool", nullable=False),
            Column(name="place", type="string", nullable=False),
            Column(name="at", type="datetime", nullable=False),
        )
    )
    _pack(model, "binary", contract, frame, folder)


def _pack(model: Any, task: Any, contract: Contract, sample: pl.DataFrame, folder: Path) -> None:
    manifest = pack(
        model,
        name=folder.name,
        task=task,
        contract=contract,
        sample=sample,
        folder=folder,
        created=MOMENT,
    )
    assert manifest.twin is not None, manifest.no_twin


def target(version: int, bundle: str, **options: Any) -> RouteTarget:
    """A route target of model `m`."""
    return RouteTarget(model="m", version=version, bundle=bundle, **options)


def table(generation: int, **endpoints: EndpointRoutes | RouteTarget) -> RouteTable:
    """A route table; an endpoint may be given as its champion alone."""
    return RouteTable(
        generation=generation,
        endpoints={
            name: e if isinstance(e, EndpointRoutes) else EndpointRoutes(targets=(e,))
            for name, e in endpoints.items()
        },
    )


class RunningWorker:
    """A worker process of a test, and a client for it."""

    def __init__(self, folder: Path, bundles: Path, *options: str) -> None:
        self.folder = folder
        self.routes = folder / "routes.json"
        self.predictions = folder / "predictions"
        self.peers = folder / "peers"
        self.peers.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "tidemill.serving.worker", "--port", "0"]
        command += ["--routes", str(self.routes), "--bundles", str(bundles)]
        command += ["--predictions", str(self.predictions), "--peers", str(self.peers), *options]
        self.errors = (folder / "worker.log").open("wb")
        self.process = subprocess.Popen(command, stderr=self.errors)
        self.port = self._port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=20.0)

    def _port(self) -> int:
        import time

        path = self.peers / f"{self.process.pid}.json"
        for _ in range(1500):
            if path.exists():
                return int(msgspec.json.decode(path.read_bytes())["port"])
            assert self.process.poll() is None, (self.folder / "worker.log").read_text()
            time.sleep(0.01)
        raise AssertionError((self.folder / "worker.log").read_text())

    def infer(self, endpoint: str = "e", **columns: list[Any]) -> httpx.Response:
        """Ask with one tensor a column."""
        return self.http.post(f"/v2/models/{endpoint}/infer", json={"inputs": tensors(**columns)})

    def close(self) -> None:
        """Stop it and wait."""
        self.http.close()
        self.process.terminate()
        self.process.wait(20)
        self.errors.close()


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def tensors(**columns: list[Any]) -> list[dict[str, Any]]:
    """Columns as the tensors of a request."""
    kinds = {bool: "BOOL", int: "INT64", float: "FP64", str: "BYTES", type(None): "FP64"}
    return [
        {"name": n, "shape": [len(v)], "datatype": kinds[type(v[0])] if v else "FP64", "data": v}
        for n, v in columns.items()
    ]


Start = Callable[..., RunningWorker]


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory, bundles: Path) -> Iterator[RunningWorker]:
    """A worker that serves every kind of model, for tests that change nothing."""
    folder = tmp_path_factory.mktemp("worker")
    write_routes(
        folder / "routes.json",
        table(
            1,
            e=target(1, "one"),
            three=target(3, "three"),
            line=target(4, "line"),
            words=target(5, "words"),
        ),
    )
    running = RunningWorker(folder, bundles, "--clock", "header", "--head-seconds", "1")
    yield running
    running.close()


@pytest.fixture
def start(tmp_path: Path, bundles: Path) -> Iterator[Start]:
    """Start workers of one's own."""
    running: list[RunningWorker] = []

    def begin(routes: RouteTable, *options: str) -> RunningWorker:
        folder = tmp_path / str(len(running))
        write_routes(folder / "routes.json", routes)
        running.append(RunningWorker(folder, bundles, *options))
        return running[-1]

    yield begin
    for each in running:
        each.close()
