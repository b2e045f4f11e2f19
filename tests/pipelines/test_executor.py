"""Steps in child processes: whatever the user's function does, the owner goes on."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tidemill.pipelines.executors.jobs import LOG, Job, Logged, Result
from tidemill.pipelines.executors.logs import HEAD, TAIL
from tidemill.pipelines.executors.process import ProcessExecutor
from tidemill.pipelines.values import load_value
from tidemill.storage.blobs.local import LocalBlobs

from .conftest import PROGRAMS


class Child:
    """Runs functions of `programs/hostile.py`."""

    def __init__(self, executor: ProcessExecutor, folder: Path) -> None:
        self.executor = executor
        self.folder = folder
        self.logged: list[Logged] = []

    def run(self, function: str, timeout: float | None = None) -> Result:
        job = Job(
            function=f"hostile:{function}",
            arguments={},
            blobs=str(self.folder / "blobs"),
            path=(str(PROGRAMS),),
            run_id="0" * 32,
        )
        return self.executor.run(
            job, self.folder / function, timeout=timeout, on_logged=self.logged.append
        )

    def value(self, function: str) -> object:
        result = self.run(function)
        assert result.value is not None, result
        return load_value(LocalBlobs(self.folder / "blobs"), result.value, self.folder)

    def log(self, function: str) -> str:
        return (self.folder / function / LOG).read_text()


@pytest.fixture
def child(executor: ProcessExecutor, tmp_path: Path) -> Child:
    return Child(executor, tmp_path)


def test_a_value_comes_back_and_the_output_is_in_the_log(child: Child) -> None:
    assert child.value("fine") == 42
    assert child.log("fine") == "all is well\n"


def test_a_step_does_not_find_the_password_of_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_DATABASE", "postgresql://ada:secret@db/mill")
    executor = ProcessExecutor()
    try:
        assert Child(executor, tmp_path).value("database") is None
    finally:
        executor.close()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        ("raises", "ValueError: no luck today"),
        ("exits", "SystemExit: 3"),
        ("exits_at_once", "exited with 7"),
        ("kills_itself", "killed by signal 9"),
        ("cannot_be_handed_on", "generator cannot be handed to another step"),
        ("is_not_there", "AttributeError"),
    ],
)
def test_a_failure_is_one_sentence_and_the_next_job_runs(
    child: Child, function: str, said: str
) -> None:
    result = child.run(function)
    assert result.status == "failed"
    assert said in result.error
    assert child.value("fine") == 42


@pytest.mark.parametrize("function", ["ignores_sigterm", "leaves_its_group"])
def test_a_timeout_ends_whoever_resists(child: Child, function: str) -> None:
    start = time.monotonic()
    result = child.run(function, timeout=0.2)
    assert "longer than 0.2 seconds" in result.error
    assert time.monotonic() - start < 30


def test_what_a_step_left_running_ends_with_it(child: Child) -> None:
    pid = child.value("leaves_a_process_running")
    deadline = time.monotonic() + 10
    while _runs(int(str(pid))):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_forked_copy_does_no_harm(child: Child) -> None:
    assert child.value("forks") == 1


def test_endless_output_keeps_its_beginning_and_its_end(child: Child) -> None:
    child.run("prints_a_lot")
    path = child.folder / "prints_a_lot" / LOG
    log = path.read_text()
    assert path.stat().st_size < 3 * (HEAD + TAIL)
    assert log.startswith("the beginning\n")
    assert log.endswith("the end\n")
    assert "[Tidemill left out about" in log


def test_temporary_files_are_removed(child: Child) -> None:
    assert not Path(str(child.value("leaves_temporary_files"))).exists()


def test_what_is_logged_reaches_the_owner(child: Child) -> None:
    child.run("logs")
    assert [(m.key, m.value) for each in child.logged for m in each.metrics] == [("loss", 0.25)]


def _runs(pid: int) -> bool:
    """Say whether a process runs; one that ended and that nobody has asked about does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
