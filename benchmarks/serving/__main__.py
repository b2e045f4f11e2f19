"""Measures the data plane beside its peers, and writes the section: `python -m benchmarks serving`.

`BENCH_SECONDS` (3) is how long each load lasts, `BENCH_TIMES` (3) how often each is measured; the
servers take turns, so that whatever else the machine does falls on all of them. `PEERS=no` leaves
the peers out. What the prediction log costs is measured in `BENCH_PAIRS` (21) pairs.
`python -m benchmarks.serving soak --minutes 30` runs for long and asserts that nothing fails and
nothing grows.

`cpu` is the server's processor time a request: on a machine that does other things too, it is what
can be compared.
"""

from __future__ import annotations

import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks import results
from benchmarks.serving import load, model, pairs, servers, soak

TIMES = int(os.environ.get("BENCH_TIMES", "3"))
CONNECTIONS = (1, 16, 64)
Measure = Callable[[servers.Running], load.Seen]


class Row(msgspec.Struct):
    """What was seen of one server at one work."""

    title: str
    work: str
    rows: int
    seen: list[load.Seen]

    def median(self, of: Callable[[load.Seen], float]) -> float:
        """Return the median of the rounds."""
        return statistics.median(of(seen) for seen in self.seen)


class Table:
    """All that is measured, round by round."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self.rows: dict[tuple[str, str], Row] = {}
        self.starts: dict[str, list[tuple[float, float]]] = {}
        self.failures: dict[str, str] = {}

    def round(self, server: servers.Server) -> None:
        """Start a server, put every load on it once, and stop it."""
        if server.title in self.failures:
            return
        try:
            running = servers.Running(server, self._home)
        except RuntimeError as error:
            self.failures[server.title] = str(error)[:200]
            return
        try:
            load.http(running.url, running.pid, self._home / f"{server.form}_1", 8, 1)
            for work, rows, measure in self._works(server):
                row = self.rows.setdefault((server.title, work), Row(server.title, work, rows, []))
                row.seen.append(measure(running))
            self.starts.setdefault(server.title, []).append(
                (running.seconds, load.megabytes(running.pid))
            )
        finally:
            running.stop()

    def _works(self, server: servers.Server) -> list[tuple[str, int, Measure]]:
        works = [
            (f"one row, {n} connection{'s' if n > 1 else ''}", 1, self._http(server.form, 1, n))
            for n in CONNECTIONS
        ]
        works.append(("1,000 rows in JSON, 4 connections", 1000, self._http(server.form, 1000, 4)))
        if server.title == servers.OURS.title:
            works.append(
                ("1,000 rows in binary, 4 connections", 1000, self._http("binary", 1000, 4))
            )
            works.append(("one row as 20 tensors, 16 connections", 1, self._http("columns", 1, 16)))
        if server.grpc:
            works.append(("one row over gRPC, 16 connections", 1, self._grpc()))
        return works

    def _http(self, form: str, rows: int, connections: int) -> Measure:
        body = self._home / f"{form}_{rows}"
        return lambda running: load.http(running.url, running.pid, body, connections)

    def _grpc(self) -> Measure:
        body = self._home / "grpc_1"
        return lambda running: load.grpc(running.rpc, running.pid, body, 16)


def main() -> None:
    """Measure everything, and write the section."""
    load.check_tools()
    home = Path(tempfile.mkdtemp(prefix="tidemill-bench-"))
    model.prepare(home)
    servers.write_routes_files(home)
    compared = [servers.OURS, servers.SILENT, servers.UVICORN]
    if os.environ.get("PEERS") != "no":
        servers.write_peers_files(home)
        compared += servers.OTHERS
    table = Table(home)
    for number in range(TIMES):
        for server in compared:
            sys.stderr.write(f"round {number + 1} of {TIMES}: {server.title}\n")
            table.round(server)
    sys.stderr.write("what the prediction log costs, in pairs\n")
    cost = pairs.render(pairs.measure(home))
    results.write("Serving", "python -m benchmarks serving", f"{render(table)}\n\n{cost}")
    shutil.rmtree(home)


def render(table: Table) -> str:
    """Return the section."""
    lines = [
        "One worker each, the same model of 20 features and 100 boosted trees, ONNX Runtime "
        f"wherever the peer can. Medians of {TIMES} rounds of {load.SECONDS} s, in which the "
        "servers took turns; the load generator shares the processors, and so did other work "
        "where rates are low. `cpu` is the server's processor time for a request, `× cpu` how many "
        "times Tidemill's that is. Tidemill validates, routes, measures and logs every row; nobody "
        "else logs.\n",
        "| work | server | requests/s | rows/s | p50 ms | p99 ms | cpu µs | × cpu | failed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    works = list(dict.fromkeys(work for _, work in table.rows))
    for work in works:
        ours = table.rows[servers.OURS.title, work].median(lambda s: s.cpu_us)
        for (_, its), row in table.rows.items():
            if its == work:
                lines.append(_line(row, ours))
    lines += ["", "| server | start to first answer | memory |", "|---|---|---|"]
    for title, starts in table.starts.items():
        seconds = statistics.median(s for s, _ in starts)
        memory = statistics.median(m for _, m in starts)
        lines.append(f"| {title} | {seconds:.2f} s | {memory:.0f} MB |")
    lines += [f"| {title} | does not run: {why} | |" for title, why in table.failures.items()]
    return "\n".join(lines)


def _line(row: Row, ours: float) -> str:
    rate = row.median(lambda s: s.rate)
    cpu = row.median(lambda s: s.cpu_us)
    failed = sum(seen.errors for seen in row.seen)
    return (
        f"| {row.work} | {row.title} | {rate:,.0f} | {rate * row.rows:,.0f} "
        f"| {row.median(lambda s: s.p50):.2f} | {row.median(lambda s: s.p99):.2f} "
        f"| {cpu:,.0f} | {cpu / ours:.1f} | {failed} |"
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["soak"]:
        soak.main(sys.argv[2:])
    else:
        main()
