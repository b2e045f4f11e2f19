"""Group commit: who waits for the disk is told the truth, and nobody else waits."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from tidemill.core.ids import Ids
from tidemill.predictions import writer as module
from tidemill.predictions.errors import LogStopped
from tidemill.predictions.frames import read_frames
from tidemill.predictions.writer import RecordWriter


def rows(folder: Path) -> int:
    return sum(1 for path in folder.glob("*.log") for _ in read_frames(path))


class Answers:
    """Collects what is said of records."""

    def __init__(self, count: int) -> None:
        self.failures: list[LogStopped | None] = []
        self._all = threading.Semaphore(0)
        self._count = count

    def __call__(self, failure: LogStopped | None) -> None:
        self.failures.append(failure)
        self._all.release()

    def wait(self) -> None:
        for _ in range(self._count):
            assert self._all.acquire(timeout=60)


def test_many_who_wait_are_answered_by_few_syncs(
    tmp_path: Path, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    syncs: list[int] = []
    write = os.writev
    monkeypatch.setattr(os, "writev", lambda d, parts: (syncs.append(d), write(d, parts))[1])
    writer = RecordWriter(tmp_path, ids, interval=30.0)
    answers = Answers(500)
    numbers = [writer.append([n]) for n in range(500)]
    for number in numbers:
        writer.when_durable(number, answers)
    answers.wait()
    writer.close()
    assert answers.failures == [None] * 500
    assert rows(tmp_path) == 500
    assert len(syncs) < 50


def test_a_record_that_was_lost_is_never_said_to_be_durable(
    tmp_path: Path, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(module, "_write_all", _raise(full))
    writer = RecordWriter(tmp_path, ids, interval=0.001)
    lost = writer.append(["lost"])
    with pytest.raises(LogStopped, match="No space left"):
        writer.flush()
    monkeypatch.undo()
    kept = writer.append(["kept"])
    writer.flush()
    answers = Answers(2)
    writer.when_durable(lost, answers)
    writer.when_durable(kept, answers)
    answers.wait()
    writer.close()
    assert "No space left" in str(answers.failures[0])
    assert answers.failures[1] is None
    assert (writer.dropped, rows(tmp_path)) == (1, 1)


def test_a_full_disk_leaves_no_litter(
    tmp_path: Path, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RecordWriter(tmp_path, ids, interval=0.001)
    writer.append(["before"])
    writer.flush()
    monkeypatch.setattr(os, "writev", _raise(OSError(28, "No space left on device")))
    for _ in range(20):
        writer.append(["lost"])
        with pytest.raises(LogStopped):
            writer.flush()
    monkeypatch.undo()
    writer.append(["after"])
    writer.close()
    assert writer.dropped == 20
    assert rows(tmp_path) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_what_is_dropped_under_overload_has_no_number(
    tmp_path: Path, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "WAITING_BYTES", 50)
    writer = RecordWriter(tmp_path, ids)
    assert writer.append(["x" * 100]) == 0
    answers = Answers(1)
    writer.when_durable(0, answers)
    answers.wait()
    writer.close()
    assert "too much" in str(answers.failures[0])
    assert writer.dropped == 1


PROGRAM = """
import sys, pathlib
from tidemill.core.clock import SystemClock
from tidemill.core.ids import Ids
from tidemill.predictions.writer import RecordWriter
writer = RecordWriter(pathlib.Path(sys.argv[1]), Ids(SystemClock()), interval=30.0)
def said(number):
    return lambda failure: print(number if failure is None else failure, flush=True)
for number in range(100_000):
    writer.when_durable(writer.append([number]), said(number))
"""


def test_a_write_is_on_disk_when_it_returns(tmp_path: Path, ids: Ids) -> None:
    writer = RecordWriter(tmp_path, ids, interval=0.001)
    writer.append(["one"])
    writer.flush()
    (segment,) = tmp_path.glob("*.log")
    opened = [d for d in Path("/proc/self/fd").iterdir() if d.resolve() == segment]
    flags = [
        int(line.split()[1], 8)
        for descriptor in opened
        for line in Path("/proc/self/fdinfo", descriptor.name).read_text().splitlines()
        if line.startswith("flags")
    ]
    writer.close()
    assert [bool(f & os.O_DSYNC) for f in flags] == [True]


def test_parts_that_the_kernel_takes_in_pieces_are_whole(
    tmp_path: Path, ids: Ids, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = os.writev
    monkeypatch.setattr(os, "writev", lambda d, parts: write(d, [b"".join(parts)[:10]]))
    writer = RecordWriter(tmp_path, ids, interval=30.0)
    for number in range(3000):
        writer.append([number])
    writer.close()
    assert rows(tmp_path) == 3000


def test_what_was_said_to_be_durable_survives_a_kill(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        said = [int(process.stdout.readline()) for _ in range(1000)]
        os.kill(process.pid, signal.SIGKILL)
        said += [int(line) for line in process.stdout.read().split()]
    assert rows(tmp_path) > max(said)


def test_a_disk_that_is_really_full_costs_records_and_no_more(tmp_path: Path) -> None:
    program = """
import sys, pathlib, signal
from tidemill.core.clock import SystemClock
from tidemill.core.ids import Ids
from tidemill.predictions.errors import LogStopped
from tidemill.predictions.writer import RecordWriter
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
writer = RecordWriter(pathlib.Path(sys.argv[1]), Ids(SystemClock()))
lost = 0
for number in range(30):
    writer.append(["x" * 1000])
    try:
        writer.flush()
    except LogStopped:
        lost += 1
writer.close()
print(lost, writer.dropped)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        check=True,
        capture_output=True,
        text=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (10_240, 10_240)),
    )
    lost, dropped = map(int, done.stdout.split())
    assert lost == dropped > 0
    assert rows(tmp_path) == 30 - lost
    assert all(not list(_tails(path)) for path in tmp_path.glob("*.log"))


def _tails(path: Path) -> list[Any]:
    from tidemill.predictions.frames import Framed, scan

    return [found for found in scan(path) if not isinstance(found, Framed)]


def _raise(error: OSError) -> Any:
    def fail(*_: Any) -> None:
        raise error

    return fail
