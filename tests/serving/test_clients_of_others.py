"""KServe's, MLServer's and MLflow's own clients, unmodified, each in an environment of its own.

They hold other libraries back, so they are no dependencies of this project, not even for
development. Where they cannot be installed, their test is skipped, and says why.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.environments import MLFLOW, python_with
from tests.serving.conftest import RunningWorker, free_port, table, target

from tidemill.serving.routes import write_routes

pytest.importorskip("grpc")
PACKAGES = {
    "kserve": ("kserve>=0.15",),
    "mlserver": ("mlserver>=1.6", "pandas<3"),
    "mlflow": MLFLOW,
}


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory, bundles: Path) -> Iterator[dict[str, str]]:
    """Start a worker of three models and one of a single model; tell where they listen."""
    folder = tmp_path_factory.mktemp("many")
    models = {"e": target(1, "one"), "words": target(5, "words"), "mixed": target(6, "mixed")}
    write_routes(folder / "routes.json", table(1, **models))
    write_routes(folder / "one" / "routes.json", table(1, e=target(1, "one")))
    rpc = free_port()
    many = RunningWorker(folder, bundles, "--grpc-port", str(rpc))
    single = RunningWorker(folder / "one", bundles)
    yield {"http": str(many.port), "grpc": str(rpc), "single": str(single.port)}
    single.close()
    many.close()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("name", PACKAGES)
def test_the_unmodified_client_works(name: str, ports: dict[str, str], tmp_path: Path) -> None:
    python = python_with(name, PACKAGES[name])
    given = [ports["single"]] if name == "mlflow" else [ports["http"], ports["grpc"]]
    program = Path(__file__).parent / "clients" / f"{name}_flow.py"
    done = subprocess.run(
        [python, "-W", "ignore", str(program), *given],
        check=False,
        capture_output=True,
        text=True,
        timeout=200,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert done.stdout.splitlines()[-1] == "all done"
