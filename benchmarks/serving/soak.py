"""Runs the data plane for long: `python -m benchmarks.serving soak --minutes 30`.

Two workers under a supervisor answer about half of what they can, by far the most of it to wrk,
and some to clients whose connections come and go, while the live version is swapped every ten
seconds and, where asked for, a worker is killed now and then. It ends with 1 where a request failed
or where memory grew.
"""

from __future__ import annotations

import argparse
import itertools
import os
import random
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import msgspec

from benchmarks.processes import proportional
from benchmarks.serving import load, model
from tidemill.serving.routes import EndpointRoutes, RouteTable, RouteTarget, write_routes
from tidemill.serving.supervisor import Supervisor

SWAP_SECONDS = 10.0
STEADY, STEADY_PAUSE = 16, 1.0
"""Connections of wrk's, and the milliseconds that each rests after an answer."""
_GROWN = 1.15
"""Memory may be so many times what it was after the first fifth, plus the few MB below."""
_GROWN_MEGABYTES = 8.0


class Served(msgspec.Struct, frozen=True):
    """What is served, and asked.

    Attributes:
        bundles: The folder of bundles.
        versions: The bundles between which the live version is swapped.
        bodies: Two small requests, and a large one.
    """

    bundles: Path
    versions: tuple[str, str]
    bodies: tuple[bytes, bytes, bytes]


class Client(threading.Thread):
    """Asks at a steady pace, and remembers what went wrong.

    Args:
        port: Where.
        body: What.
        pause: Between two requests, in seconds.
        lasting: How many requests one connection lasts for.
    """

    def __init__(self, port: int, body: bytes, pause: float, lasting: int) -> None:
        super().__init__(daemon=True)
        self._port = port
        self._body = body
        self._pause = pause
        self._lasting = lasting
        self.stop = threading.Event()
        self.statuses: Counter[str] = Counter()
        self.versions: list[tuple[float, str]] = []

    def run(self) -> None:
        while not self.stop.is_set():
            connection = HTTPConnection("127.0.0.1", self._port, timeout=30)
            try:
                for _ in range(self._lasting):
                    if self.stop.is_set():
                        break
                    self._ask(connection)
                    self.stop.wait(self._pause)
            except (OSError, HTTPException) as error:
                self.statuses[type(error).__name__] += 1
            finally:
                connection.close()

    def _ask(self, connection: HTTPConnection) -> None:
        connection.request("POST", "/v2/models/bench/infer", self._body)
        answer = connection.getresponse()
        content = answer.read()
        self.statuses[str(answer.status)] += 1
        if answer.status == 200:
            version = msgspec.json.decode(content)["model_version"]
            if not self.versions or self.versions[-1][1] != version:
                self.versions.append((time.monotonic(), version))


class Report(msgspec.Struct):
    """What came of it.

    Attributes:
        minutes: How long it ran.
        statuses: How many answers of each kind.
        swaps: How often the live version was changed.
        slowest_swap: How long a swap took at most until no old version answered, in seconds.
        kills: How many workers were killed.
        repeated: How many requests were in their hands, and answered by others.
        megabytes: Of all workers, at even moments.
        rate: Answers a second to wrk.
        p99: Of their latency, in milliseconds.
    """

    minutes: float
    statuses: dict[str, int]
    swaps: int
    slowest_swap: float
    kills: int
    repeated: int
    megabytes: list[float]
    rate: float = 0.0
    p99: float = 0.0

    @property
    def problems(self) -> list[str]:
        """What should not have been."""
        found = [f"{n} requests ended with {s}" for s, n in self.statuses.items() if s != "200"]
        if not self.statuses.get("200"):
            found.append("nothing was answered")
        # The first fifth fills caches and pools; workers that were killed begin anew.
        early = self.megabytes[: max(len(self.megabytes) // 5, 1)]
        late = self.megabytes[-max(len(self.megabytes) // 5, 1) :]
        if early and min(late) > max(early) * _GROWN + _GROWN_MEGABYTES:
            found.append(f"memory grew from {max(early):.0f} to {min(late):.0f} MB")
        return found


def run(
    home: Path,
    served: Served,
    *,
    seconds: float,
    clients: int = 8,
    kill_seconds: float = 0.0,
    pause: float = 0.004,
    body: Path | None = None,
) -> Report:
    """Serve and ask for so many seconds, and report; wrk asks too, where it is given a body."""
    _route(home, served, 1, 1)
    supervisor = Supervisor(
        routes=home / "routes.json",
        bundles=served.bundles,
        predictions=home / "predictions",
        peers=home / "peers",
        log=home / "workers.log",
        workers=2,
    )
    supervisor.start()
    try:
        supervisor.wait(1)
        url = f"http://127.0.0.1:{supervisor.port}/v2/models/bench/infer"
        with ThreadPoolExecutor(1) as beside:
            most = body and beside.submit(
                load.steady, url, body, STEADY, int(seconds), STEADY_PAUSE
            )
            report = _under_load(home, served, supervisor, seconds, clients, kill_seconds, pause)
        return report if most is None else _with(report, most.result())
    finally:
        supervisor.stop()


def _with(report: Report, most: load.Seen) -> Report:
    statuses = Counter(report.statuses)
    statuses["200"] += most.requests - most.errors
    if most.errors:
        statuses["an error of wrk's"] += most.errors
    return msgspec.structs.replace(report, statuses=dict(statuses), rate=most.rate, p99=most.p99)


def _under_load(
    home: Path,
    served: Served,
    supervisor: Supervisor,
    seconds: float,
    clients: int,
    kill_seconds: float,
    pause: float,
) -> Report:
    asking = [
        # One in eight sends a thousand rows; half leave their connection after a while.
        Client(
            supervisor.port,
            served.bodies[2 if n % 8 == 7 else n % 2],
            pause * (25 if n % 8 == 7 else 1),
            10**9 if n % 2 else 50,
        )
        for n in range(clients)
    ]
    for each in asking:
        each.start()
    began = time.monotonic()
    swapped: list[tuple[float, str]] = [(began, "1")]
    megabytes: list[float] = []
    kills, next_kill = 0, began + kill_seconds
    chance = random.Random(0)
    while time.monotonic() < began + seconds:
        time.sleep(min(SWAP_SECONDS, seconds / 5))
        live = 1 + len(swapped) % 2
        _route(home, served, live, len(swapped) + 1)
        swapped.append((time.monotonic(), str(live)))
        states = supervisor.states()
        megabytes.append(sum(proportional(state.pid) for state in states))
        if kill_seconds and time.monotonic() > next_kill and len(states) == 2:
            os.kill(chance.choice(states).pid, signal.SIGKILL)
            kills += 1
            next_kill += kill_seconds
    time.sleep(1.0)
    for each in asking:
        each.stop.set()
    for each in asking:
        each.join(60)
    statuses: Counter[str] = Counter()
    for each in asking:
        statuses.update(each.statuses)
    return Report(
        minutes=(time.monotonic() - began) / 60,
        statuses=dict(statuses),
        swaps=len(swapped) - 1,
        slowest_swap=_slowest(swapped, asking),
        kills=kills,
        repeated=supervisor.repeated,
        megabytes=[round(m, 1) for m in megabytes],
    )


def _slowest(swapped: list[tuple[float, str]], asking: list[Client]) -> float:
    """Return the longest time from a swap to a client's first answer of the new version."""
    slowest = 0.0
    moments = [*swapped[1:], (float("inf"), "")]
    for (moment, version), (following, _) in itertools.pairwise(moments):
        for client in asking:
            first = [at for at, v in client.versions if v == version and moment <= at < following]
            if first:
                slowest = max(slowest, first[0] - moment)
    return slowest


def _route(home: Path, served: Served, live: int, generation: int) -> None:
    """Let one of the two versions answer, the other one being kept warm."""
    targets = tuple(
        RouteTarget(
            model="bench",
            version=version,
            bundle=bundle,
            role="champion" if version == live else "standby",
        )
        for version, bundle in enumerate(served.versions, 1)
    )
    table = RouteTable(generation=generation, endpoints={"bench": EndpointRoutes(targets=targets)})
    write_routes(home / "routes.json", table)


def main(arguments: list[str]) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser("benchmarks.serving soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--kill-seconds", type=float, default=0.0, help="0 kills nobody")
    given = parser.parse_args(arguments)
    load.check_tools()
    home = Path(tempfile.mkdtemp(prefix="tidemill-soak-"))
    model.prepare(home)
    names = ("json_1", "columns_1", "json_1000")
    small, columns, large = ((home / name).read_bytes() for name in names)
    served = Served(home / "bundles", ("bench", "again"), (small, columns, large))
    report = run(
        home,
        served,
        seconds=60 * given.minutes,
        clients=given.clients,
        kill_seconds=given.kill_seconds,
        body=home / names[0],
    )
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(report), indent=1).decode() + "\n")
    shutil.rmtree(home)
    if report.problems:
        raise SystemExit("; ".join(report.problems))


if __name__ == "__main__":
    main(sys.argv[1:])
