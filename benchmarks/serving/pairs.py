"""What the prediction log costs: two servers, with and without it, that are asked in turns.

A machine's speed changes from minute to minute by more than the log costs. So both servers stand
side by side, and every second of load on one is followed by a second on the other.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable
from pathlib import Path

import msgspec

from benchmarks.serving import load, servers

PAIRS = int(os.environ.get("BENCH_PAIRS", "21"))
CONNECTIONS = (16, 64)
_SECONDS = 1


class Pairs(msgspec.Struct):
    """The seconds of load over so many connections, in turns."""

    connections: int
    logging: list[load.Seen] = []
    silent: list[load.Seen] = []

    def ratio(self, of: Callable[[load.Seen], float]) -> tuple[float, float]:
        """Return the median over the pairs of with to without, and its standard error."""
        ratios = [of(a) / of(b) for a, b in zip(self.logging, self.silent, strict=True)]
        quarters = statistics.quantiles(ratios, n=4)
        spread = (quarters[2] - quarters[0]) / 1.349  # the deviation of a normal with these
        return statistics.median(ratios), 1.253 * spread / len(ratios) ** 0.5


def measure(home: Path) -> list[Pairs]:
    """Ask both servers in turns; who comes first changes from pair to pair."""
    logging, silent = servers.Running(servers.OURS, home), servers.Running(servers.SILENT, home)
    try:
        found = [Pairs(connections) for connections in CONNECTIONS]
        for running in (logging, silent):
            _ask(running, home, 16)
        for number in range(PAIRS):
            for pairs in found:
                turns = [(logging, pairs.logging), (silent, pairs.silent)]
                for running, seen in turns if number % 2 else reversed(turns):
                    seen.append(_ask(running, home, pairs.connections))
        return found
    finally:
        logging.stop()
        silent.stop()


def render(found: list[Pairs]) -> str:
    """Return the table."""
    lines = [
        f"What the log costs: the median of {PAIRS} pairs of a second each, with its standard "
        "error; a server that logs and one that does not stood side by side and were asked in "
        "turns.\n",
        "| connections | requests/s, with to without | p50 | p99 | cpu |",
        "|---|---|---|---|---|",
    ]
    for pairs in found:
        cells = [
            "{:.2f} ± {:.2f}".format(*pairs.ratio(of))
            for of in (lambda s: s.rate, lambda s: s.p50, lambda s: s.p99, lambda s: s.cpu_us)
        ]
        lines.append(f"| {pairs.connections} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _ask(running: servers.Running, home: Path, connections: int) -> load.Seen:
    body = home / f"{running.server.form}_1"
    return load.http(running.url, running.pid, body, connections, _SECONDS)
