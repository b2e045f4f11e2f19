"""KServe's, MLServer's and MLflow's own clients, unmodified, each in an environment of its own.

They hold other libraries back, so they are no dependencies of this project, not even for
development. Where they cannot be installed, their test is skipped, and says why.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.serving.conftest import RunningWorker, free_port, table, target

from tidemill.serving.routes import write_routes

pytest.importorskip("grpc")
PACKAGES = {
    "kserve": ("kserve>=0.15",),
    "mlserver": ("mlserver>=1.6", "pandas<3"),
    "mlflow": ("mlflow-skinny>=3", "pandas", "pyarrow", "scipy"),
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


@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", PACKAGES)
def test_the_unmodified_client_works(name: str, ports: dict[str, str], tmp_path: Path) -> None:
    python = _environment(name)
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


def _environment(name: str) -> str:
    """Return a Python that has a client; its environment is made once, and kept for later runs."""
    packages = PACKAGES[name]
    mark = hashlib.blake2b(repr((sys.version, packages)).encode(), digest_size=6).hexdigest()
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "tidemill-tests" / f"{name}-{mark}"
    folder.mkdir(parents=True, exist_ok=True)
    python = str(folder / "env" / "bin" / "python")
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "done").exists():
            _install(name, python, folder)
            (folder / "done").touch()
    return python


def _install(name: str, python: str, folder: Path) -> None:
    uv = str(Path(sys.executable).with_name("uv"))
    make = [uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(folder / "env")]
    subprocess.run(make, check=True, timeout=60)
    fill = [uv, "pip", "install", "--quiet", "--python", python, *PACKAGES[name]]
    try:
        filled = subprocess.run(fill, check=False, capture_output=True, text=True, timeout=200)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the client of {name} takes too long to install")
    if filled.returncode != 0:
        pytest.skip(f"the client of {name} cannot be installed here: {filled.stderr[-300:]}")
