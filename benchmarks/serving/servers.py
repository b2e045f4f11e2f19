"""The servers that are compared: how each is installed, started and asked."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import msgspec

from benchmarks.environments import programs_of
from tidemill.serving.routes import EndpointRoutes, RouteTable, RouteTarget, write_routes

PEERS = Path(__file__).with_name("peers")
_START_SECONDS = 240
_ONNX = ("onnxruntime", "numpy")


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """One of them.

    Attributes:
        title: As the table has it.
        packages: What uv installs; nothing for Tidemill itself.
        command: What is run, with `{home}`, `{port}`, `{rpc}`, `{peers}` and `{bin}` put in.
        path: Where it is asked.
        form: Which request it takes.
        grpc: Whether it is asked over gRPC too.
        environment: Variables.
    """

    title: str
    packages: tuple[str, ...] = ()
    command: tuple[str, ...]
    path: str
    form: str
    grpc: bool = False
    environment: dict[str, str] = {}


_OURS = (
    *(sys.executable, "-m", "tidemill.serving.worker", "--routes", "{home}/{routes}"),
    *("--bundles", "{home}/bundles", "--predictions", "{home}/predictions", "--port", "{port}"),
)
_INFER = "/v2/models/bench/infer"
OURS = Server(
    title="Tidemill",
    command=(*_OURS, "--grpc-port", "{rpc}"),
    path=_INFER,
    form="json",
    grpc=True,
    environment={"ROUTES": "logged.json"},
)
SILENT = Server(
    title="Tidemill, nothing logged",
    command=_OURS,
    path=_INFER,
    form="json",
    environment={"ROUTES": "silent.json"},
)
UVICORN = Server(
    title="Tidemill's application under uvicorn",
    command=(
        *(sys.executable, "-m", "benchmarks.serving.asgi", "{home}/logged.json"),
        *("{home}/bundles", "{home}/predictions", "{port}"),
    ),
    path=_INFER,
    form="json",
    environment={"PYTHONPATH": "{root}"},
)
OTHERS = (
    Server(
        title="FastAPI and ONNX Runtime, by hand",
        packages=("fastapi", "uvicorn[standard]", *_ONNX),
        command=("{bin}/python", "{peers}/by_fastapi.py", "{home}/model.onnx", "{port}"),
        path="/predict",
        form="bare",
    ),
    Server(
        title="MLServer",
        packages=("mlserver", *_ONNX),
        command=("{bin}/mlserver", "start", "{home}/mlserver"),
        path=_INFER,
        form="json",
        grpc=True,
        environment={
            "MLSERVER_HTTP_PORT": "{port}",
            "MLSERVER_GRPC_PORT": "{rpc}",
            "MLSERVER_METRICS_ENDPOINT": "",
            "MLSERVER_PARALLEL_WORKERS": "0",
            "MLSERVER_DEBUG": "false",
            "PYTHONPATH": "{peers}",
        },
    ),
    Server(
        title="KServe's model server",
        packages=("kserve", *_ONNX),
        command=("{bin}/python", "{peers}/by_kserve.py", "{home}/model.onnx", "{port}"),
        path=_INFER,
        form="json",
    ),
    Server(
        title="LitServe",
        packages=("litserve", *_ONNX),
        command=("{bin}/python", "{peers}/by_litserve.py", "{home}/model.onnx", "{port}"),
        path="/predict",
        form="bare",
    ),
    Server(
        title="Ray Serve",
        packages=("ray[serve]", *_ONNX),
        command=("{bin}/python", "{peers}/by_ray.py", "{home}/model.onnx", "{port}"),
        path="/predict",
        form="bare",
        environment={"RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": "{home}"},
    ),
    Server(
        title="BentoML",
        packages=("bentoml", *_ONNX),
        command=("{bin}/bentoml", "serve", "by_bentoml:Model", "--port", "{port}"),
        path="/predict",
        form="bare",
        environment={"MODEL": "{home}/model.onnx", "BENTOML_DO_NOT_TRACK": "1"},
    ),
    Server(
        title="mlflow models serve",
        packages=("mlflow", *_ONNX),
        command=(
            *("{bin}/mlflow", "models", "serve", "-m", "{home}/mlflow", "-p", "{port}"),
            *("--env-manager", "local"),
        ),
        path="/invocations",
        form="split",
    ),
)


class Running:
    """A server that has been started and has answered once.

    Args:
        server: Which.
        home: Where model and requests lie.

    Raises:
        RuntimeError: It does not start or does not answer; the message has its last words.
    """

    def __init__(self, server: Server, home: Path) -> None:
        self.server = server
        self._output = (home / "server.log").open("wb")
        port, rpc = _free_port(), _free_port()
        places = {"home": home, "port": port, "rpc": rpc, "peers": PEERS, "bin": _bin(server)}
        places["root"] = PEERS.parents[2]
        places["routes"] = server.environment.get("ROUTES", "")
        added = {n: v.format(**places) for n, v in server.environment.items()}
        began = time.monotonic()
        self._process = subprocess.Popen(
            [part.format(**places) for part in server.command],
            env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": _path(server), **added},
            cwd=PEERS,
            stdout=self._output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self.pid = self._process.pid
        self.url = f"http://127.0.0.1:{port}{server.path}"
        self.rpc = f"127.0.0.1:{rpc}"
        try:
            self._wait(home, began)
        except RuntimeError:
            self.stop()
            raise
        self.seconds = time.monotonic() - began

    def stop(self) -> None:
        """End it and all that it started."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self.pid, number)
                self._process.wait(5)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                continue
        self._process.wait()
        self._output.close()

    def _wait(self, home: Path, began: float) -> None:
        body = (home / f"{self.server.form}_1").read_bytes()
        asked = urllib.request.Request(self.url, body, {"content-type": "application/json"})
        why: object = ""
        while time.monotonic() - began < _START_SECONDS and self._process.poll() is None:
            try:
                urllib.request.urlopen(asked, timeout=5).read()
            except OSError as error:
                why = error
                time.sleep(0.02)
            else:
                return
        last = (home / "server.log").read_text(errors="replace").strip().splitlines()
        raise RuntimeError(f"{self.server.title} does not answer: {why}; {' '.join(last[-2:])}")


def write_routes_files(home: Path) -> None:
    """Write the route tables of our own worker."""
    target = RouteTarget(model="bench", version=1, bundle="bench")
    for name, share in (("logged.json", 1.0), ("silent.json", 0.0)):
        routes = EndpointRoutes(targets=(target,), log=share)
        write_routes(home / name, RouteTable(endpoints={"bench": routes}))


def write_peers_files(home: Path) -> None:
    """Write what the peers are given beside the model."""
    (home / "mlserver").mkdir()
    settings = {
        "name": "bench",
        "implementation": "by_mlserver.OnnxModel",
        "parameters": {"uri": str(home / "model.onnx")},
    }
    (home / "mlserver" / "model-settings.json").write_text(json.dumps(settings))
    python = _bin(next(s for s in OTHERS if s.title.startswith("mlflow"))) / "python"
    save = (
        "import sys, mlflow.pyfunc\n"
        "model, file, to = sys.argv[1:]\n"
        "mlflow.pyfunc.save_model(to, python_model=file, artifacts={'model': model})"
    )
    subprocess.run(
        [
            *(python, "-c", save, str(home / "model.onnx")),
            *(str(PEERS / "by_mlflow.py"), str(home / "mlflow")),
        ],
        check=True,
        capture_output=True,
    )


def _bin(server: Server) -> Path:
    """Return where the programs of a server's environment are."""
    return programs_of(server.packages) if server.packages else Path(sys.executable).parent


def _path(server: Server) -> str:
    """Return where programs are found: some servers start others of their environment."""
    return f"{_bin(server)}{os.pathsep}{os.environ.get('PATH', '')}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
