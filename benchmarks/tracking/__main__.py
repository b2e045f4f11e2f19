"""Measures tracking beside `mlflow server`, over HTTP: `python -m benchmarks tracking`.

Both servers are started on empty homes on loopback, with their defaults, and asked the same by
the same program, in turns; answers are read and not parsed, which would measure the client. MLflow
lives in an environment of its own, made by uv. Every write is answered when it is durable here;
MLflow's SQLite answers before the disk has it. `BENCH_MANY` (a million) is the number of runs in a
home that is filled by SQL and searched at the end, ours only; 0 leaves it out, since filling takes
minutes.
"""

from __future__ import annotations

import asyncio
import compileall
import http.client
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tidemill
from benchmarks import results
from benchmarks.environments import programs_of
from benchmarks.processes import children, proportional
from benchmarks.tracking import filling

SECONDS = float(os.environ.get("BENCH_SECONDS", "4"))
RUNS = int(os.environ.get("BENCH_RUNS", "1000"))
MANY_RUNS = 10_000
MOST_RUNS = int(os.environ.get("BENCH_MANY", "1000000"))
WAYS: dict[str, dict[str, Any]] = {
    "newest 100": {},
    "100 by a metric": {"order_by": ["metrics.m3 DESC"]},
    "filtered by metric and param": {"filter": "metrics.m1 > 1.5 and params.p0 = '31'"},
}
POINTS = 100_000
MEGABYTES = 200
CORE = "/api/2.0/mlflow/"
STAMP = 1_790_000_000_000
_JSON = {"Content-Type": "application/json"}
_NEXT = re.compile(rb'"next_page_token"\s*:\s*"([^"]+)"')
Row = dict[str, float]


class Server:
    """A tracking server on an empty folder."""

    def __init__(self, name: str, command: list[str], folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"http://127.0.0.1:{self.port}"
        self._line: http.client.HTTPConnection | None = None
        start = time.perf_counter()
        self._log = (folder / f"{name}.log").open("wb")
        self.process = subprocess.Popen(
            [part.replace("PORT", str(self.port)) for part in command],
            cwd=folder,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        while not self._answers():
            time.sleep(0.01)
        self.start = time.perf_counter() - start

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/health", timeout=1) as answer:
                return bool(answer.status == 200)
        except OSError:
            if self.process.poll() is not None:
                raise
            return False

    def memory(self) -> float:
        """Return the megabytes of all its processes."""
        return sum(proportional(pid) for pid in [self.process.pid, *children(self.process.pid)])

    def ask(self, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}{path}", data, _JSON)
        with urllib.request.urlopen(request, timeout=120) as answer:
            return json.loads(answer.read() or b"{}")

    def fetch(self, path: str, body: Any = None) -> bytes:
        """Ask over a connection that stays, and leave the answer as it comes."""
        if self._line is None:
            self._line = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        data = None if body is None else json.dumps(body).encode()
        try:
            self._line.request("GET" if data is None else "POST", path, data, _JSON)
            answer = self._line.getresponse()
        except ConnectionError:  # it was idle for too long
            self._line.close()
            return self.fetch(path, body)
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(content[:500].decode())
        return content

    def new_run(self, experiment: str = "0") -> str:
        body = {"experiment_id": experiment, "user_id": "bench", "start_time": STAMP}
        return str(self.ask(f"{CORE}runs/create", body)["run"]["info"]["run_id"])

    def stop(self) -> None:
        if self._line is not None:
            self._line.close()
        self.process.terminate()
        for pid in children(self.process.pid):
            try:
                os.kill(pid, 15)
            except ProcessLookupError:
                continue
        self.process.wait(60)
        self._log.close()


def main() -> None:
    """Measure, and write the section."""
    # As pip does where it installs; a checkout may have no bytecode, or that of other sources.
    compileall.compile_dir(Path(tidemill.__file__).parent, quiet=1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        commands = {
            "tidemill": ours(folder / "home"),
            "mlflow": [
                str(programs_of(("mlflow",)) / "mlflow"),
                "server",
                "--port",
                "PORT",
                "--host",
                "127.0.0.1",
            ],
        }
        found: dict[str, Row] = {}
        for who, command in commands.items():
            server = Server(who, command, folder)
            try:
                time.sleep(5)
                found[who] = {
                    "start to first healthy reply, s": server.start,
                    "idle memory of all processes, MB": server.memory(),
                    **measure(server, many=who == "tidemill"),
                }
            finally:
                server.stop()
        if MOST_RUNS:
            found["tidemill"] |= among_many(folder)
        results.write("Tracking", "python -m benchmarks tracking", table(found))


def ours(home: Path) -> list[str]:
    """Return the command of our server on a home."""
    return [
        *(sys.executable, "-m", "tidemill", "up", "--home", str(home)),
        *("--port", "PORT", "--serve-port", "0", "--workers", "1"),
    ]


def measure(server: Server, *, many: bool) -> Row:
    """Return what one server does."""
    row: Row = {}
    for connections in (1, 16, 32):
        rate, slow = asyncio.run(load(server, connections, 1))
        row[f"log-metric, {connections} connections, requests/s"] = rate
        row[f"log-metric, {connections} connections, p99 ms"] = slow
    for connections in (1, 4):
        rate, _ = asyncio.run(load(server, connections, 1000))
        row[f"batches of 1,000, {connections} connections, metrics/s"] = rate * 1000
    row |= searches(server, RUNS)
    row |= plots(server)
    row |= artifacts(server)
    if many:
        row |= searches(server, MANY_RUNS)
    return row


async def load(server: Server, connections: int, batch: int) -> tuple[float, float]:
    """Return requests a second and the 99th percentile of the latency in milliseconds."""
    runs = [server.new_run() for _ in range(connections)]
    end = time.perf_counter() + SECONDS
    latencies: list[float] = []

    async def one(run: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        step = 0
        while time.perf_counter() < end:
            body = _point(run, step) if batch == 1 else _batch(run, step * batch, batch)
            start = time.perf_counter()
            writer.write(_request("log-metric" if batch == 1 else "log-batch", body))
            await _answer(reader)
            latencies.append(time.perf_counter() - start)
            step += 1
        writer.close()

    start = time.perf_counter()
    await asyncio.gather(*map(one, runs))
    elapsed = time.perf_counter() - start
    return len(latencies) / elapsed, statistics.quantiles(latencies, n=100)[98] * 1000


def _request(route: str, body: bytes) -> bytes:
    return (
        f"POST {CORE}runs/{route} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body


async def _answer(reader: asyncio.StreamReader) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if b" 200 " not in head[:20]:
        raise RuntimeError(head.decode())
    size = head.partition(b"content-length:")[2].partition(b"\r\n")[0]
    await reader.readexactly(int(size))


def _point(run: str, step: int) -> bytes:
    point = {"run_id": run, "key": "m", "value": 0.5, "timestamp": STAMP, "step": step}
    return json.dumps(point).encode()


def _batch(run: str, first: int, size: int) -> bytes:
    points = ",".join(
        f'{{"key":"b","value":{step}.5,"timestamp":{STAMP},"step":{step}}}'
        for step in range(first, first + size)
    )
    return f'{{"run_id":"{run}","metrics":[{points}]}}'.encode()


def searches(server: Server, count: int) -> Row:
    """Fill an experiment with runs, and look for the first hundred in three ways."""
    experiment = server.ask(f"{CORE}experiments/create", {"name": f"bench-{count}"})
    asyncio.run(fill(server, experiment["experiment_id"], count))
    time.sleep(1)  # what a server does after writes is not what is measured
    return looked_for(server, experiment["experiment_id"], count)


def among_many(folder: Path) -> Row:
    """Search a home that was filled by SQL."""
    experiment = filling.fill(folder / "many", MOST_RUNS)
    server = Server("many", ours(folder / "many"), folder)
    try:
        return looked_for(server, experiment, MOST_RUNS)
    finally:
        server.stop()


def looked_for(server: Server, experiment: str, count: int) -> Row:
    """Look for the first hundred runs of an experiment in three ways."""
    row: Row = {}
    for what, query in WAYS.items():
        body = {"experiment_ids": [experiment], "max_results": 100} | query
        took = timed(lambda body=body: server.fetch(f"{CORE}runs/search", body))  # type: ignore[misc]
        row[f"{what} of {count:,} runs, ms"] = took * 1000
    return row


async def fill(server: Server, experiment: str, count: int) -> None:
    """Log so many runs with ten metrics and ten params each, by eight connections."""
    numbers = iter(range(count))

    async def one() -> None:
        for number in numbers:
            run = await asyncio.to_thread(server.new_run, experiment)
            value = (number * 7919 % 10007) / 10007
            metrics = [
                {"key": f"m{k}", "value": value + k, "timestamp": STAMP, "step": 0}
                for k in range(10)
            ]
            params = [{"key": f"p{k}", "value": str((number * 31 + k) % 97)} for k in range(10)]
            body = {"run_id": run, "metrics": metrics, "params": params}
            await asyncio.to_thread(server.ask, f"{CORE}runs/log-batch", body)

    await asyncio.gather(*(one() for _ in range(8)))


def plots(server: Server) -> Row:
    """Read a long history, whole and thinned out."""
    run = server.new_run()
    for first in range(0, POINTS, 1000):
        server.ask(f"{CORE}runs/log-batch", json.loads(_batch(run, first, 1000)))
    thin = (
        f"/ajax-api/2.0/mlflow/metrics/get-history-bulk-interval?run_ids={run}&metric_key=b"
        "&max_results=320"
    )
    first = timed(lambda: server.fetch(thin), times=1)

    def whole() -> None:
        token = ""
        while True:
            path = f"{CORE}metrics/get-history?run_id={run}&metric_key=b&max_results=25000"
            answer = server.fetch(f"{path}&page_token={token}" if token else path)
            found = _NEXT.search(answer[-1000:]) or _NEXT.search(answer[:1000])
            if found is None:
                return
            token = found[1].decode()

    return {
        f"history of {POINTS:,} points, ms": timed(whole, times=3) * 1000,
        "sampled to 320 for a plot, first time, ms": first * 1000,
        "sampled to 320 for a plot, again, ms": timed(lambda: server.fetch(thin)) * 1000,
    }


def artifacts(server: Server) -> Row:
    """Send a large file and fetch it, from and to memory."""
    run = server.new_run()
    root = server.ask(f"{CORE}runs/get?run_id={run}")["run"]["info"]["artifact_uri"]
    place = root.partition("mlflow-artifacts:/")[2]
    url = f"{server.address}/api/2.0/mlflow-artifacts/artifacts/{place}/big.bin"
    content = bytearray(os.urandom(1 << 20) * MEGABYTES)

    def up() -> None:
        content[:16] = os.urandom(16)  # each time another file
        request = urllib.request.Request(
            url, content, {"Content-Length": str(len(content))}, method="PUT"
        )
        urllib.request.urlopen(request, timeout=120).read()

    def down() -> None:
        with urllib.request.urlopen(url, timeout=120) as answer:
            while answer.read(1 << 20):
                pass

    return {
        "artifact up, MB/s": MEGABYTES / timed(up, times=3),
        "artifact down, MB/s": MEGABYTES / timed(down, times=3),
    }


def timed(work: Callable[[], object], times: int = 9) -> float:
    """Return the median of how long something takes, in seconds."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return statistics.median(took)


def table(found: dict[str, Row]) -> str:
    """Return the figures as a table, with how many times better ours are."""
    ours, theirs = found["tidemill"], found["mlflow"]
    lines = ["| work | Tidemill | MLflow | ratio |", "|---|---|---|---|"]
    for what, value in ours.items():
        other = theirs.get(what)
        if other is None:
            lines.append(f"| {what} | {value:,.4g} | | |")
            continue
        more = what.endswith("/s")
        ratio = value / other if more else other / value
        lines.append(f"| {what} | {value:,.4g} | {other:,.4g} | {ratio:,.1f} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
