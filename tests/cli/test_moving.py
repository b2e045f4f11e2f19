"""`tidemill export` and `import` need the home to themselves, and say so."""

from __future__ import annotations

from pathlib import Path

import pytest

from tidemill.cli.entry import run
from tidemill.home import Home


@pytest.mark.parametrize("words", [["export", "out"], ["import", "mlflow", "mlruns"]])
def test_a_home_that_is_open_elsewhere_must_be_left_first(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns" / "0").mkdir(parents=True)
    (tmp_path / "mlruns" / "0" / "meta.yaml").write_text("experiment_id: '0'\nname: Default\n")
    with Home.open(tmp_path / "home"):
        assert run([*words, "--home", str(tmp_path / "home")]) == 4
    said = capsys.readouterr().err
    assert "is owned by process" in said
    assert "Stop `tidemill up` first" in said
    assert not (tmp_path / "out").exists()
