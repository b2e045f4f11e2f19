"""Loads one worker with wrk and writes a table: `python -m benchmarks serving`.

The model has 20 numeric features and 100 boosted trees; validation, routing, metrics and the
prediction log are on. `cpu` is the worker's processor time a request, which is comparable between
runs on a machine that does other things too. The rows `uvicorn` are the same application under
uvicorn, for docs/decisions/http-server.md; `no log` is the log sampled at 0%.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier

from benchmarks import results
from tidemill.core.contract import Column, Contract
from tidemill.models.packing import pack
from tidemill.serving.routes import EndpointRoutes, RouteTable, RouteTarget, write_routes

SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
INFER = "/v2/models/bench/infer"
SCRIPT = """
function init(args)
  local f = io.open(args[1], "rb"); wrk.body = f:read("*a"); f:close()
  wrk.method = "POST"; wrk.headers["Content-Type"] = "application/json"
  if args[2] then wrk.headers["Inference-Header-Content-Length"] = args[2] end
end
function done(s, l, r)
  io.write(string.format('{"requests":%d,"seconds":%.3f,"p50":%.3f,"p99":%.3f,"errors":%d}',
    s.requests, s.duration / 1e6, l:percentile(50) / 1000, l:percentile(99) / 1000,
    s.errors.status + s.errors.connect + s.errors.read + s.errors.write + s.errors.timeout))
end
"""


def prepare(home: Path) -> None:
    """Train, pack, and write request bodies."""
    values, target = make_classification(20000, 20, n_informative=12, random_state=0)
    names = [f"f{i}" for i in range(20)]
    frame = pl.DataFrame(values, schema=names)
    model = HistGradientBoostingClassifier(max_iter=100, random_state=0)
    model.fit(frame.to_pandas(), target)
    pack(
        model,
        name="bench",
        task="binary",
        contract=Contract(columns=tuple(Column(name=n, type="float") for n in names)),
        sample=frame[:500],
        folder=home / "bundles" / "bench",
        created=datetime.now(UTC),
    )
    for rows in (1, 1000):
        some = values[:rows].round(4)
        matrix = {"name": "x", "shape": [rows, 20], "datatype": "FP32"}
        flat = some.ravel().tolist()
        (home / f"json_{rows}").write_text(json.dumps({"inputs": [matrix | {"data": flat}]}))
        columns = [
            {"name": n, "shape": [rows], "datatype": "FP64", "data": some[:, i].tolist()}
            for i, n in enumerate(names)
        ]
        (home / f"columns_{rows}").write_text(json.dumps({"inputs": columns}))
        raw = some.astype("<f4").tobytes()
        sized = matrix | {"parameters": {"binary_data_size": len(raw)}}
        asked = {"inputs": [sized], "parameters": {"binary_data_output": True}}
        (home / f"binary_{rows}").write_bytes(json.dumps(asked).encode() + raw)
        (home / f"binary_{rows}.head").write_text(str(len(json.dumps(asked))))
    (home / "post.lua").write_text(SCRIPT)


def free_port() -> int:
    """Return a port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(home: Path, port: int, server: str) -> tuple[subprocess.Popen[bytes], float]:
    """Start a server and return it with the seconds until its first good answer."""
    files = [str(home / "routes.json"), str(home / "bundles"), str(home / "predictions")]
    if server == "uvicorn":
        command = [sys.executable, "-m", "benchmarks.serving.asgi", *files, str(port)]
    else:
        named = [
            w
            for n, f in zip(("routes", "bundles", "predictions"), files, strict=True)
            for w in (f"--{n}", f)
        ]
        command = [sys.executable, "-m", "tidemill.serving.worker", *named, "--port", str(port)]
    began = time.monotonic()
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    body = (home / "json_1").read_bytes()
    while time.monotonic() - began < 60:
        try:
            urllib.request.urlopen(f"http://127.0.0.1:{port}{INFER}", body, timeout=5).read()
            return process, time.monotonic() - began
        except OSError:
            time.sleep(0.01)
    process.kill()
    raise SystemExit("the server did not start")


def processor(pid: int) -> float:
    """Return the processor time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def load(home: Path, port: int, pid: int, body: str, connections: int) -> dict[str, Any]:
    """Load the server and return what was seen."""
    head = home / f"{body}.head"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{SECONDS}s", "--timeout", "20s", "--latency"]
    command += ["-s", str(home / "post.lua"), f"http://127.0.0.1:{port}{INFER}", "--"]
    command += [str(home / body), *([head.read_text()] if head.exists() else [])]
    before = processor(pid)
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seen: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    seen["cpu_us"] = 1e6 * (processor(pid) - before) / max(seen["requests"], 1)
    return seen


def line(name: str, rows: int, seen: dict[str, Any]) -> str:
    """Return a line of the table."""
    rate = seen["requests"] / seen["seconds"]
    return (
        f"| {name} | {rate:,.0f} | {rate * rows:,.0f} | {seen['p50']:.2f} | {seen['p99']:.2f} "
        f"| {seen['cpu_us']:,.0f} | {seen['errors']} |"
    )


def main() -> None:
    """Measure everything."""
    if shutil.which("wrk") is None:
        raise SystemExit("This needs wrk: apt-get install wrk")
    home = Path(tempfile.mkdtemp(prefix="tidemill-bench-"))
    prepare(home)
    target = RouteTarget(model="bench", version=1, bundle="bench")
    lines = [
        "| work | requests/s | rows/s | p50 ms | p99 ms | cpu µs | errors |",
        "|---|---|---|---|---|---|---|",
    ]
    for server, log in (("worker", 1.0), ("worker", 0.0), ("uvicorn", 1.0)):
        routes = EndpointRoutes(targets=(target,), log=log)
        write_routes(home / "routes.json", RouteTable(endpoints={"bench": routes}))
        port = free_port()
        process, seconds = start(home, port, server)
        name = server if log else f"{server}, no log"
        try:
            load(home, port, process.pid, "json_1", 8)
            for connections in (1, 16, 64):
                seen = load(home, port, process.pid, "json_1", connections)
                lines.append(line(f"{name}: one row, {connections} connections", 1, seen))
            if server == "worker" and log:
                seen = load(home, port, process.pid, "columns_1", 16)
                lines.append(line(f"{name}: one row as 20 tensors, 16 connections", 1, seen))
                for form in ("json", "binary"):
                    seen = load(home, port, process.pid, f"{form}_1000", 4)
                    lines.append(line(f"{name}: 1,000 rows in {form}, 4 connections", 1000, seen))
                pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
                memory = pages * os.sysconf("SC_PAGE_SIZE") / 2**20
                lines.append(
                    f"| {name}: first answer after {seconds:.2f} s, {memory:.0f} MB | | | | | | |"
                )
        finally:
            process.terminate()
            process.wait()
    shutil.rmtree(home)
    results.write("Serving", "python -m benchmarks serving", "\n".join(lines))


if __name__ == "__main__":
    np.random.seed(0)
    main()
