"""The log of a step: small, and with the end that says why it failed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.pipelines.executors.logs import StepLog


def _child(pipe: Path, program: str) -> subprocess.Popen[bytes]:
    with pipe.open("wb") as output:
        return subprocess.Popen([sys.executable, "-c", program], stdout=output)


def test_whoever_is_killed_what_he_printed_is_in_the_log(tmp_path: Path) -> None:
    program = "import os; print('the end', flush=True); os.kill(os.getpid(), 9)"
    with StepLog(tmp_path / "log", tmp_path / "pipe") as log:
        _child(tmp_path / "pipe", program).wait()
        log.take()
    assert (tmp_path / "log").read_text() == "the end\n"


def test_a_child_that_prints_more_than_the_pipe_holds_waits_and_loses_nothing(
    tmp_path: Path,
) -> None:
    program = "for i in range(400_000): print(i)"
    with StepLog(tmp_path / "log", tmp_path / "pipe", head=1 << 22) as log:
        child = _child(tmp_path / "pipe", program)
        while child.poll() is None:
            log.take()
    assert (tmp_path / "log").read_text() == "".join(f"{i}\n" for i in range(400_000))


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=40))
@settings(max_examples=60, deadline=None)
def test_beginning_and_end_stay_however_it_is_printed(
    tmp_path_factory: pytest.TempPathFactory, printed: list[bytes]
) -> None:
    folder = tmp_path_factory.mktemp("log")
    with StepLog(folder / "log", folder / "pipe", head=16, tail=16) as log:
        for each in printed:
            writer = os.open(folder / "pipe", os.O_WRONLY)
            os.write(writer, each)
            os.close(writer)
            log.take()
    whole = b"".join(printed)
    found = (folder / "log").read_bytes() if printed else b""
    assert found[:16] == whole[:16]
    assert found[-16:] == whole[-16:]
    assert (b"left out" in found) == (found != whole)


def test_a_full_disk_does_not_stop_the_step(tmp_path: Path) -> None:
    with StepLog(Path("/dev/full"), tmp_path / "pipe") as log:
        child = _child(tmp_path / "pipe", "print('x' * 100)")
        assert child.wait() == 0
        log.take()
