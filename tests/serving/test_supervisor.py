"""Workers die, hang, and lose their supervisor; clients notice next to nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.serving.conftest import table, target, tensors
from tests.serving.test_worker import Load, finish

from tidemill.predictions.reader import read_predictions
from tidemill.serving.errors import WorkersNotReady
from tidemill.serving.memory import Allowance, Outgrown
from tidemill.serving.routes import write_routes
from tidemill.serving.supervisor import Supervisor
from tidemill.serving.worker.ports import PortTaken

BODY = {"inputs": tensors(a=[0.5], b=[1.0], c=[3])}
INFER = "/v2/models/e/infer"
Supervise = Callable[..., Supervisor]


def folders(home: Path, bundles: Path) -> dict[str, Any]:
    return {
        "routes": home / "routes.json",
        "bundles": bundles,
        "predictions": home / "predictions",
        "peers": home / "peers",
        "log": home / "workers.log",
    }


@pytest.fixture
def supervise(tmp_path: Path, bundles: Path) -> Iterator[Supervise]:
    """Start supervisors; they stop with the test."""
    running: list[Supervisor] = []

    def begin(**options: Any) -> Supervisor:
        # A long path, as homes may have: longer than a socket's name may be.
        home = tmp_path / ("deep-" * 20)
        write_routes(home / "routes.json", table(1, e=target(1, "one")))
        running.append(Supervisor(**folders(home, bundles), **options))
        running[-1].start()
        running[-1].wait(1)
        return running[-1]

    yield begin
    for each in running:
        each.stop()


@pytest.fixture
def load() -> Iterator[Callable[[str], list[Load]]]:
    running: list[Load] = []

    def begin(url: str) -> list[Load]:
        running.extend(Load(url) for _ in range(4))
        for each in running:
            each.start()
        return running

    yield begin
    finish(running)


def test_a_killed_worker_is_back_in_a_moment_and_repeated_requests_succeed(
    supervise: Supervise, load: Callable[[str], list[Load]]
) -> None:
    supervisor = supervise(workers=2)
    running = load(supervisor.url)
    time.sleep(0.3)
    victim = supervisor.states()[0].pid
    os.kill(victim, signal.SIGKILL)
    killed = time.monotonic()
    while victim in (pids := [s.pid for s in supervisor.states()]) or len(pids) < 2:
        assert time.monotonic() - killed < 10
        time.sleep(0.02)
    time.sleep(0.3)
    answers = finish(running)
    assert {status for _, status, _ in answers} == {200}
    assert supervisor.restarts == 1


class Raw(threading.Thread):
    """Asks over one connection without a pause; a connection that breaks is a failure."""

    def __init__(self, port: int, request: bytes) -> None:
        super().__init__(daemon=True)
        self._connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        self._request = request
        self.stop = threading.Event()
        self.statuses: Counter[str] = Counter()

    def run(self) -> None:
        with self._connection, self._connection.makefile("rb") as answers:
            while not self.stop.is_set():
                try:
                    self._connection.sendall(self._request)
                    self.statuses[self._answer(answers)] += 1
                except OSError as error:
                    self.statuses[repr(error)] += 1
                    return

    def _answer(self, answers: Any) -> str:
        status, length = answers.readline().decode(), 0
        if not status:
            raise OSError("the connection was closed")
        while (line := answers.readline()) not in (b"\r\n", b""):
            name, _, value = line.partition(b":")
            length = int(value) if name == b"content-length" else length
        body = answers.read(length)
        return str(status.split()[1]) if len(body) == length else "torn"


def posted(body: dict[str, Any]) -> bytes:
    content = json.dumps(body).encode()
    head = f"POST {INFER} HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(content)}\r\n\r\n"
    return head.encode() + content


MANY = 3000
LARGE = {"inputs": tensors(a=[0.5] * MANY, b=[1.0] * MANY, c=[3] * MANY)}


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_fails_when_workers_are_killed_and_no_connection_breaks(
    supervise: Supervise, workers: int
) -> None:
    supervisor = supervise(workers=workers)
    asking = [Raw(supervisor.port, posted(BODY)) for _ in range(8)]
    asking += [Raw(supervisor.port, posted(LARGE)) for _ in range(2)]
    for each in asking:
        each.start()
    for _ in range(3):
        time.sleep(0.3)
        victim = supervisor.states()[0].pid
        os.kill(victim, signal.SIGKILL)
        wait_for(lambda: victim not in (s.pid for s in supervisor.states()))  # noqa: B023
        wait_for(lambda: len(supervisor.states()) == workers)
    before = [sum(each.statuses.values()) for each in asking]
    wait_for(lambda: all(sum(a.statuses.values()) > n for a, n in zip(asking, before, strict=True)))
    for each in asking:
        each.stop.set()
    for each in asking:
        each.join(30)
    assert {status for each in asking for status in each.statuses} == {"200"}
    assert supervisor.restarts == 3


def test_a_request_in_the_hands_of_a_killed_worker_is_answered_by_its_successor(
    supervise: Supervise,
) -> None:
    supervisor = supervise(workers=1)
    whole = posted(LARGE)
    asking = Raw(supervisor.port, b"")
    asking._connection.sendall(whole[:-10])
    wait_for(lambda: in_hand(supervisor))
    os.kill(supervisor.states()[0].pid, signal.SIGKILL)
    asking._connection.sendall(whole[-10:])
    with asking._connection, asking._connection.makefile("rb") as answers:
        assert asking._answer(answers) == "200"
    wait_for(lambda: supervisor.repeated == 1)
    text = httpx.get(supervisor.url + "/metrics").text
    assert re.search(r"^tidemill_worker_restarts_total(\{\})? 1$", text, re.MULTILINE)
    assert re.search(r"^tidemill_repeated_total(\{\})? 1$", text, re.MULTILINE)


def test_a_request_that_kills_every_worker_is_refused_in_the_end(supervise: Supervise) -> None:
    supervisor = supervise(workers=1)
    asking = Raw(supervisor.port, b"")
    # Never whole, so that it is in hand for as long as it takes.
    asking._connection.sendall(posted(BODY)[:-10])
    for deaths in range(1, 4):
        wait_for(lambda: bool(supervisor.states()))
        wait_for(lambda: in_hand(supervisor))
        os.kill(supervisor.states()[0].pid, signal.SIGKILL)
        wait_for(lambda: supervisor.restarts == deaths)  # noqa: B023
    with asking._connection, asking._connection.makefile("rb") as answers:
        assert asking._answer(answers) == "500"
    assert httpx.post(supervisor.url + INFER, json=BODY).status_code == 200


def test_what_a_worker_left_is_not_lost_when_the_one_that_it_is_given_to_dies_too(
    supervise: Supervise,
) -> None:
    supervisor = supervise(workers=2)
    asking = [Raw(supervisor.port, posted(BODY)) for _ in range(8)]
    streams = [each._connection.makefile("rb") for each in asking]
    for each, stream in zip(asking, streams, strict=True):
        each._connection.sendall(each._request)
        assert each._answer(stream) == "200"
    victim, heir = (state.pid for state in supervisor.states())
    os.kill(heir, signal.SIGSTOP)
    os.kill(victim, signal.SIGKILL)
    wait_for(lambda: supervisor.restarts == 1)  # By then the one that stands still was given all.
    os.kill(heir, signal.SIGKILL)
    for each, stream in zip(asking, streams, strict=True):
        with each._connection, stream:
            each._connection.sendall(each._request)
            assert each._answer(stream) == "200"


def in_hand(supervisor: Supervisor) -> bool:
    """Tell whether a worker has taken what a client sent before."""
    httpx.get(supervisor.url + "/metrics")  # What was there is read before this is answered.
    text = httpx.get(supervisor.url + "/metrics").text
    found = re.search(r"^tidemill_connections\{[^}]*\} (\d+)", text, re.MULTILINE)
    return found is not None and int(found[1]) >= 2


def wait_for(condition: Callable[[], bool], seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_port_that_another_home_serves_is_refused(
    supervise: Supervise, tmp_path: Path, bundles: Path
) -> None:
    taken = supervise().port
    other = folders(tmp_path / "other", bundles)
    with pytest.raises(PortTaken, match=f"Port {taken} of 127.0.0.1") as refused:
        Supervisor(**other, port=taken)
    assert "--serve-port" in str(refused.value)
    with pytest.raises(PortTaken, match="--grpc-port"):
        Supervisor(**other, grpc_port=taken)


def test_names_and_limits_reach_the_workers(supervise: Supervise) -> None:
    supervisor = supervise(allow_hosts=("models.example",), max_body=1000, max_rows=2)
    url = supervisor.url + INFER
    named = {"Host": "models.example"}
    assert httpx.post(url, json=BODY, headers=named).status_code == 200
    assert httpx.post(url, json=BODY, headers={"Host": "others.example"}).status_code == 421
    assert httpx.post(url, content=b" " * 1001).status_code == 413
    rows = {"inputs": tensors(a=[0.5] * 3, b=[1.0] * 3, c=[3] * 3)}
    assert httpx.post(url, json=rows).status_code in (413, 429)


def test_a_hanging_worker_is_replaced(supervise: Supervise) -> None:
    supervisor = supervise(ping_seconds=0.1)
    victim = supervisor.states()[0].pid
    os.kill(victim, signal.SIGSTOP)
    deadline = time.monotonic() + 10
    while not any(s.pid != victim for s in supervisor.states()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert httpx.post(supervisor.url + INFER, json=BODY).status_code == 200


LEAK = """
from tidemill.models.session import Graph

kept, run = [], Graph.run


def leaking(self, matrices):
    kept.append(b"x" * 60_000)
    return run(self, matrices)


Graph.run = leaking
"""


@pytest.fixture
def leaking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every model of workers that are started from now on leak with each call."""
    folder = tmp_path / "leak"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(LEAK)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(folder), *sys.path]))


@pytest.mark.usefixtures("leaking")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_worker_whose_model_leaks_is_replaced_and_no_request_fails(
    supervise: Supervise, workers: int
) -> None:
    told: list[Outgrown] = []
    supervisor = supervise(workers=workers, ping_seconds=0.1, memory_mb=300.0, outgrown=told.append)
    asking = [Raw(supervisor.port, posted(BODY)) for _ in range(4)]
    for each in asking:
        each.start()
    wait_for(lambda: supervisor.restarts >= 2, 60.0)
    wait_for(lambda: len(supervisor.states()) == workers)
    for each in asking:
        each.stop.set()
    for each in asking:
        each.join(30)
    assert {status for each in asking for status in each.statuses} == {"200"}
    assert len(told) >= 2
    assert supervisor.outgrown >= 2
    assert all(t.memory_mb > t.limit_mb == 300.0 for t in told)
    text = httpx.get(supervisor.url + "/metrics").text
    found = re.search(r"^tidemill_worker_outgrown_total(?:\{\})? (\d+)", text, re.MULTILINE)
    assert found is not None
    assert int(found[1]) >= 2
    answered = sum(sum(each.statuses.values()) for each in asking)
    assert httpx.post(supervisor.url + "/-/flush").status_code == 200
    frame, _ = read_predictions(Path(supervisor._peers).parent / "predictions", "e")
    # What was answered is logged; what was in hand may have been answered, and logged, twice.
    assert answered <= frame.height <= answered + 4 * len(told)


def test_a_worker_that_needs_more_than_it_may_take_is_not_replaced_for_ever(
    supervise: Supervise,
) -> None:
    told: list[Outgrown] = []
    supervisor = supervise(ping_seconds=0.05, memory_mb=8.0, outgrown=told.append)
    wait_for(lambda: supervisor.needed_mb > 8.0)
    for _ in range(20):
        assert httpx.post(supervisor.url + INFER, json=BODY).status_code == 200
        time.sleep(0.05)
    assert (supervisor.restarts, supervisor.outgrown, told) == (0, 0, [])


def test_a_leak_beside_what_a_worker_needs_is_none_of_it() -> None:
    allowance = Allowance(300.0)
    assert allowance.seen(250.0, generation=1) == 375.0
    assert allowance.seen(280.0, generation=1) == 375.0
    # Another version was loaded between the looks, at a moment when 100 MB had leaked.
    assert allowance.seen(350.0, generation=1) == 375.0
    assert allowance.seen(450.0, generation=2) == pytest.approx(1.5 * (250 + 170))
    # And went again: nothing is needed that is not taken.
    assert allowance.seen(350.0, generation=3) == pytest.approx(1.5 * 350)
    assert allowance.seen(250.0, generation=4) == 300.0
    assert Allowance(300.0).seen(20.0, generation=1) == 300.0


def test_flush_and_metrics_cover_every_worker(supervise: Supervise) -> None:
    supervisor = supervise(workers=2)
    for _ in range(40):
        # A connection each, so that the kernel spreads them over the workers.
        assert httpx.post(supervisor.url + INFER, json=BODY).status_code == 200
    assert httpx.post(supervisor.url + "/-/flush").status_code == 200
    home = Path(supervisor._peers).parent
    frame, _ = read_predictions(home / "predictions", "e")
    assert frame.height == 40
    assert len(list((home / "predictions/e/predictions").glob("*.log"))) == 2
    text = httpx.get(supervisor.url + "/metrics").text
    assert 'tidemill_rows_total{endpoint="e",version="1",role="champion"} 40' in text


def test_workers_outlive_their_supervisor_and_the_next_one_takes_over(
    tmp_path: Path, bundles: Path
) -> None:
    write_routes(tmp_path / "routes.json", table(1, e=target(1, "one")))
    program = (
        "import sys, time; from pathlib import Path\n"
        "from tidemill.serving.supervisor import Supervisor\n"
        "home, bundles = Path(sys.argv[1]), Path(sys.argv[2])\n"
        "s = Supervisor(routes=home / 'routes.json', bundles=bundles,\n"
        "    predictions=home / 'predictions', peers=home / 'peers', log=home / 'log')\n"
        "s.start(); s.wait(1); print(s.port, s.states()[0].pid, flush=True); time.sleep(60)\n"
    )
    first = subprocess.Popen(
        [sys.executable, "-c", program, str(tmp_path), str(bundles)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout is not None
    port, orphan = map(int, first.stdout.readline().split())
    first.kill()
    first.wait()
    first.stdout.close()
    url = f"http://127.0.0.1:{port}"
    assert httpx.post(url + INFER, json=BODY).status_code == 200
    second = Supervisor(**folders(tmp_path, bundles), port=port)
    second.start()
    try:
        second.wait(1)
        deadline = time.monotonic() + 10
        while Path(f"/proc/{orphan}").exists() and _state(orphan) != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert httpx.post(url + INFER, json=BODY).status_code == 200
    finally:
        second.stop()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url + "/ping")


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_workers_that_cannot_serve_are_said_not_to(tmp_path: Path, bundles: Path) -> None:
    supervisor = Supervisor(**folders(tmp_path, bundles))
    supervisor.start()
    try:
        with pytest.raises(WorkersNotReady, match="generation 1"):
            supervisor.wait(1, timeout=0.2)
    finally:
        supervisor.stop()


def test_a_taken_port_is_known_at_once(tmp_path: Path, bundles: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with pytest.raises(PortTaken, match="in use"):
            Supervisor(**folders(tmp_path, bundles), port=taken.getsockname()[1])
