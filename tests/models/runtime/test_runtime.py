"""Models without a twin, in real processes in real environments."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from tests.models.runtime.conftest import (
    CONTRACT,
    ONLY_X,
    ROWS,
    Make,
    Open,
    numbers,
    shoot,
    until,
)

from tidemill.core.clock import SystemClock
from tidemill.models.errors import (
    BundleDamaged,
    ChildEnded,
    EnvironmentNotBuilt,
    ModelNotLoaded,
    ModelRaised,
    ModelsError,
    NoChild,
    NotSigned,
    NotTrusted,
    TooBusy,
    TooSlow,
)
from tidemill.models.frames import columns_of
from tidemill.models.loading import load_original
from tidemill.models.runtime.environments import Environments
from tidemill.models.runtime.lock import Lock, lock_here, read_lock
from tidemill.models.runtime.model import RuntimeModel, prepare


def told(rows: pl.DataFrame) -> Any:
    """A number for a row that depends on the type and the value of every column."""
    assert rows.schema == {
        "x": pl.Float64,
        "count": pl.Int64,
        "word": pl.String,
        "sure": pl.Boolean,
        "when": pl.Datetime("us"),
        "day": pl.Date,
    }
    return rows.select(
        pl.col("x").fill_null(10.0)
        + pl.col("count").fill_null(20) * 3
        + pl.col("word").fill_null("none").str.len_bytes() * 100
        + pl.col("sure").cast(pl.Int8).fill_null(5) * 1000
        + pl.col("when").dt.hour().fill_null(30) * 10_000
        + pl.col("day").dt.year().fill_null(0) * 1_000_000
    ).to_series()


def test_a_function_answers_in_a_process_as_it_does_here(bundle: Make, opened: Open) -> None:
    folder = bundle(told)
    model = opened(folder)
    answer = model.predict(columns_of(ROWS, model.signature))
    assert answer.values.tolist() == told(ROWS).to_list()
    assert model.pool.pids() != [os.getpid()]


def test_its_environment_holds_what_it_needs_and_nothing_of_ours(
    bundle: Make, environments: Environments
) -> None:
    folder = bundle(told)
    python = environments.built(read_lock(folder), name="own")
    assert python != Path(sys.executable)
    program = (
        "import importlib.util as u\n"
        "print([n for n in ('polars', 'numpy', 'cloudpickle') if not u.find_spec(n)],"
        " [n for n in ('tidemill', 'litestar', 'sqlalchemy', 'sklearn') if u.find_spec(n)])"
    )
    done = subprocess.run([python, "-I", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.strip() == "[] []"


def test_it_finds_none_of_our_variables(
    bundle: Make, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TIDEMILL_SECRET", "s3cret")

    def spy(rows: pl.DataFrame) -> Any:
        import os

        return [float("TIDEMILL_SECRET" in os.environ)] * len(rows)

    assert opened(bundle(spy, contract=ONLY_X)).predict(numbers([1.0])).values.tolist() == [0.0]


def test_what_it_raises_is_said_and_takes_no_other_request_with_it(
    bundle: Make, opened: Open
) -> None:
    def picky(rows: pl.DataFrame) -> Any:
        if (rows["x"] == 13.0).any():
            raise ValueError("thirteen is unlucky")
        return rows["x"].fill_null(0.0) * 2

    model = opened(bundle(picky, contract=ONLY_X))
    answers = _together(model, [[1.0], [13.0], [2.0], [3.0, 4.0]])
    assert [list(a) for a in (answers[0], answers[2], answers[3])] == [[2.0], [4.0], [6.0, 8.0]]
    assert isinstance(answers[1], ModelRaised)
    assert "ValueError: thirteen is unlucky" in str(answers[1])
    assert model.state().restarts == 0


def test_a_process_that_is_killed_is_replaced_and_its_requests_are_answered(
    bundle: Make, opened: Open
) -> None:
    def slow(rows: pl.DataFrame) -> Any:
        import time

        time.sleep(0.02)
        return rows["x"].fill_null(0.0) * 2

    model = opened(bundle(slow, contract=ONLY_X), processes=2)
    failures: list[object] = []
    answered: list[float] = []
    stop = threading.Event()

    def load(start: float) -> None:
        value = start
        while not stop.is_set():
            value += 1.0
            try:
                assert model.predict(numbers([value])).values.tolist() == [2 * value]
                answered.append(value)
            except BaseException as error:
                failures.append(error)

    threads = [threading.Thread(target=load, args=(1000.0 * i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for restarts in range(1, 4):
        seen = len(answered)
        until(lambda seen=seen: model.state().alive == 2 and len(answered) > seen + 20)  # type: ignore[misc]
        shoot(model.pool.pids()[restarts % 2])
        until(lambda wanted=restarts: model.state().restarts >= wanted)  # type: ignore[misc]
    stop.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_rows_that_kill_the_process_fail_alone(bundle: Make, opened: Open) -> None:
    def crashing(rows: pl.DataFrame) -> Any:
        import os
        import signal

        if (rows["x"] == 13.0).any():
            os.kill(os.getpid(), signal.SIGSEGV)
        return rows["x"].fill_null(0.0) * 2

    model = opened(bundle(crashing, contract=ONLY_X))
    answers = _together(model, [[1.0], [13.0], [2.0]])
    assert [list(answers[0]), list(answers[2])] == [[2.0], [4.0]]
    assert isinstance(answers[1], ChildEnded)
    assert "SIGSEGV" in str(answers[1])


def test_one_that_hangs_is_replaced(bundle: Make, opened: Open) -> None:
    def hanging(rows: pl.DataFrame) -> Any:
        import time

        if (rows["x"] == 13.0).any():
            time.sleep(3600)
        return rows["x"].fill_null(0.0) * 2

    model = opened(bundle(hanging, contract=ONLY_X), call_seconds=5.0)
    with pytest.raises(TooSlow, match=r"within 5 s"):
        model.predict(numbers([13.0]))
    assert model.predict(numbers([4.0])).values.tolist() == [8.0]
    assert model.state().restarts == 1


def test_one_that_takes_too_much_memory_fails_and_others_are_answered(
    bundle: Make, opened: Open
) -> None:
    def greedy(rows: pl.DataFrame) -> Any:
        import numpy as np

        if (rows["x"] == 13.0).any():
            return np.ones((1 << 30,))[: len(rows)]
        return rows["x"].fill_null(0.0) * 2

    model = opened(bundle(greedy, contract=ONLY_X), memory=2 << 30)
    with pytest.raises(ChildEnded, match="no memory left, of 2,048 MiB"):
        model.predict(numbers([13.0]))
    assert model.predict(numbers([4.0])).values.tolist() == [8.0]


def test_one_that_leaks_is_replaced(bundle: Make, opened: Open) -> None:
    def leaking(rows: pl.DataFrame) -> Any:
        import builtins

        kept = builtins.__dict__.setdefault("kept", [])
        kept.append(b"x" * (64 << 20) if rows["x"][0] == 13.0 else None)
        return rows["x"].fill_null(0.0) * 2

    model = opened(bundle(leaking, contract=ONLY_X), memory=1 << 30)

    for _ in range(40):
        assert model.predict(numbers([13.0])).values.tolist() == [26.0]
    assert model.state().restarts > 0
    assert model.predict(numbers([4.0])).values.tolist() == [8.0]


def test_too_many_rows_are_refused_instead_of_queued(bundle: Make, opened: Open) -> None:
    def waiting(rows: pl.DataFrame) -> Any:
        import time

        time.sleep(0.5)
        return rows["x"].fill_null(0.0)

    model = opened(bundle(waiting, contract=ONLY_X), waiting_rows=4)
    answers = _together(model, [[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]])
    refused = [a for a in answers if isinstance(a, TooBusy)]
    assert len(refused) == 2
    assert "at most 4" in str(refused[0])


def test_a_model_that_no_longer_loads_is_refused_at_once(bundle: Make, opened: Open) -> None:
    folder = bundle(told)
    model = opened(folder, call_seconds=10.0)
    columns = columns_of(ROWS, model.signature)
    assert len(model.predict(columns).values) == 3
    path = next(f.path for f in model.manifest.files if f.path.endswith(".pickle"))
    (folder / path).unlink()
    shoot(model.pool.pids()[0])

    def hopeless() -> bool:
        try:
            model.predict(columns)
        except NoChild as error:
            return "No process of the model" in str(error)
        return False

    until(hopeless)
    assert model.state().alive == 0
    assert "cannot be loaded" in model.state().problem


def test_a_process_ends_when_its_parent_is_killed(
    bundle: Make, environments: Environments, tmp_path: Path
) -> None:
    folder = bundle(told)
    program = (
        "import sys, time; from pathlib import Path\n"
        "from tidemill.core.clock import SystemClock\n"
        "from tidemill.models.runtime.environments import Environments\n"
        "from tidemill.models.runtime.model import RuntimeModel\n"
        "model = RuntimeModel(Path(sys.argv[1]), environments=Environments(Path(sys.argv[2])),\n"
        "                     trust='own', clock=SystemClock())\n"
        "print(*model.pool.pids(), flush=True)\n"
        "time.sleep(3600)\n"
    )
    command = [sys.executable, "-c", program, str(folder), str(environments.root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert Path(f"/proc/{pid}").exists()
        parent.kill()
        parent.wait()
    until(lambda: not _runs(pid))


def test_without_trust_no_pickle_is_loaded_anywhere(
    bundle: Make, environments: Environments
) -> None:
    folder = bundle(told)
    with pytest.raises(NotTrusted, match="author's code"):
        prepare(folder, environments, trust="never")
    with pytest.raises(NotSigned):
        RuntimeModel(folder, environments=environments, trust="signed", clock=SystemClock())


def test_a_changed_lock_is_found(bundle: Make, environments: Environments) -> None:
    folder = bundle(told)
    lock = folder / "environment.json"
    lock.write_bytes(lock.read_bytes().replace(b"numpy", b"evily"))
    with pytest.raises(BundleDamaged):
        RuntimeModel(folder, environments=environments, trust="own", clock=SystemClock())


def test_an_environment_that_cannot_be_built_names_the_requirement(tmp_path: Path) -> None:
    lock = Lock(python="3.11.0", requirements=("msgspec==0.0.0.1",))
    with pytest.raises(EnvironmentNotBuilt) as caught:
        Environments(tmp_path / "e").build(lock, name="own")
    assert "'msgspec==0.0.0.1' cannot be installed" in caught.value.what
    assert "uv pip install" in caught.value.hint
    assert [p.name for p in (tmp_path / "e").iterdir() if p.is_dir()] == []


def test_an_environment_that_is_not_there_says_what_to_type(bundle: Make, tmp_path: Path) -> None:
    with pytest.raises(EnvironmentNotBuilt, match="tidemill deploy"):
        RuntimeModel(
            bundle(told),
            environments=Environments(tmp_path / "none"),
            trust="own",
            clock=SystemClock(),
        )


def test_a_model_whose_library_is_missing_says_which(
    bundle: Make, environments: Environments, opened: Open
) -> None:
    def needy(rows: pl.DataFrame) -> Any:
        return rows["x"].fill_null(0.0)

    folder = bundle(needy, contract=ONLY_X)
    import cloudpickle

    class Needs:
        def __reduce__(self) -> Any:
            return __import__, ("no_such_library",)

    from tidemill.models.bundle import write_manifest

    (folder / "model.pickle").write_bytes(cloudpickle.dumps(Needs()))
    write_manifest(folder, _manifest(folder))
    with pytest.raises(ModelNotLoaded, match="No module named 'no_such_library'"):
        opened(folder)


def _manifest(folder: Path) -> Any:
    import msgspec

    from tidemill.models.records import Manifest

    return msgspec.json.decode((folder / "manifest.json").read_bytes(), type=Manifest)


def test_a_lock_names_what_a_function_imports(tmp_path: Path) -> None:
    def deep(rows: pl.DataFrame) -> Any:
        from scipy.special import expit

        return expit(rows["x"].to_numpy())

    from tidemill.models.pickling import pickled

    pickled(deep, tmp_path, "own")
    names = {
        r.partition("==")[0] for r in lock_here("python", tmp_path / "model.pickle").requirements
    }
    assert {"scipy", "numpy", "polars", "cloudpickle"} <= names
    assert "litestar" not in names


def test_what_the_original_says_here_and_there_is_the_same(bundle: Make, opened: Open) -> None:
    folder = bundle(told)
    _, flavor, again = load_original(folder, trust="own")
    model = opened(folder)
    expected = flavor.predict(again, ROWS, model.signature)
    found = model.predict(columns_of(ROWS, model.signature)).values
    assert np.array_equal(found, expected)
    assert model.signature.features == CONTRACT.features


def _together(model: RuntimeModel, requests: list[list[float]]) -> list[Any]:
    """Ask in such a way that all but the first wait while the first is answered."""
    found: dict[int, Any] = {}
    done = threading.Event()

    def take(at: int, answer: Any) -> None:
        found[at] = answer if isinstance(answer, ModelsError) else answer.values
        if len(found) == len(requests):
            done.set()

    for at, values in enumerate(requests):
        matrices, rows = model.encoder.encode(numbers(values))
        try:
            model.pool.submit(matrices, rows, lambda answer, at=at: take(at, answer))  # type: ignore[misc]
        except ModelsError as error:
            take(at, error)
    assert done.wait(60)
    return [found[at] for at in range(len(requests))]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(")")[1].split()[0] != "Z"
    except OSError:
        return False
