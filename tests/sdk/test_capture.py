"""A run keeps the code that it was made of, exactly, and gives it back."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tidemill as tm
from tidemill.home import Home
from tidemill.sdk.capture import PATCH, UNTRACKED, captured, environment_lock, rebuild

NAMES = st.sampled_from(["a.py", "b.bin", "folder/c.py", "folder/d d.txt", "ü.py"])
CONTENTS = st.binary(max_size=40) | st.sampled_from([b"x = 1\n", b"x = 2\r\ny = 3", b"\x00\xff"])
TREES = st.dictionaries(NAMES, CONTENTS, max_size=5)


def git(folder: Path, *arguments: str) -> None:
    command = ["git", "-C", str(folder), "-c", "user.name=me", "-c", "user.email=me@example.com"]
    subprocess.run([*command, *arguments], check=True, capture_output=True)


def write(folder: Path, tree: dict[str, bytes]) -> None:
    for name, content in tree.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def read(folder: Path) -> dict[str, bytes]:
    found = (path for path in folder.rglob("*") if path.is_file())
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in found
        if path.relative_to(folder).parts[0] != ".git"
    }


@settings(max_examples=25, deadline=None)
@given(committed=TREES, gone=st.sets(NAMES), changed=TREES, staged=st.booleans())
def test_commit_patch_and_new_files_are_the_code_exactly(
    tmp_path_factory: pytest.TempPathFactory,
    committed: dict[str, bytes],
    gone: set[str],
    changed: dict[str, bytes],
    staged: bool,
) -> None:
    folder = tmp_path_factory.mktemp("repository")
    git(folder, "init", "--quiet")
    git(folder, "config", "core.autocrlf", "false")
    write(folder, committed)
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "-m", "first")
    for name in gone & set(committed):
        (folder / name).unlink()
    write(folder, changed)
    if staged:
        git(folder, "add", "--all")
    found = captured(folder)
    assert found is not None
    kept = tmp_path_factory.mktemp("kept")
    if found.patch:
        write(kept, {PATCH: found.patch})
    files = {f"{UNTRACKED}/{name}": path.read_bytes() for name, path in found.untracked.items()}
    write(kept, files)
    into = tmp_path_factory.mktemp("into") / "code"
    rebuild(kept, folder, found.commit, into)
    assert read(into) == read(folder)


def test_outside_git_there_is_nothing_to_capture(tmp_path: Path) -> None:
    assert captured(tmp_path) is None


def test_secrets_large_files_and_ignored_ones_stay_behind(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    write(
        tmp_path,
        {
            ".gitignore": b"*.log\n",
            ".env": b"KEY=1",
            "server.pem": b"--",
            "big.bin": b"x" * (2 << 20),
            "noise.log": b"x",
            "good.py": b"x = 1",
            "back\\slash.py": b"x = 2",
        },
    )
    (tmp_path / os.fsdecode(b"no\xfftext")).write_bytes(b"x")
    found = captured(tmp_path)
    assert found is not None
    assert set(found.untracked) == {".gitignore", "good.py"}
    strange = {"back\\slash.py", "no?text"}
    assert set(found.left_out) == {".env", "server.pem", "big.bin", *strange}
    assert found.commit == ""


@pytest.mark.parametrize("ignored", [True, False])
def test_a_home_inside_the_repository_is_no_code(
    ignored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    git(tmp_path, "init", "--quiet")
    write(tmp_path, {"tidemill.toml": b"", "train.py": b"x = 1"})
    home = tmp_path / ".tidemill"
    Home.open(home).close()
    if not ignored:  # as homes were before, and a spool without a home is
        (home / ".gitignore").unlink()
    monkeypatch.chdir(tmp_path)
    with tm.start_run() as run:
        pass
    with Home.open(home) as opened:
        kept = {a.path for a in opened.tracking.artifacts(run.id)}
    assert kept == {
        "environment.lock",
        "code/untracked/tidemill.toml",
        "code/untracked/train.py",
    }


def test_the_lock_names_every_distribution() -> None:
    lines = environment_lock().splitlines()
    assert lines[0].startswith("# Python 3.")
    assert any(line.startswith("msgspec==") for line in lines)


def test_a_run_gives_its_code_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project, home = tmp_path / "project", tmp_path / "home"
    project.mkdir()
    git(project, "init", "--quiet")
    write(project, {"train.py": b"x = 1\n"})
    git(project, "add", "--all")
    git(project, "commit", "--quiet", "-m", "first")
    write(project, {"train.py": b"x = 2\n", "new.py": b"y = 3\n"})
    monkeypatch.chdir(project)
    monkeypatch.setenv("TIDEMILL_HOME", str(home))
    with tm.start_run() as run:
        pass
    with Home.open(home) as opened:
        kept = opened.tracking.get(run.id)
        paths = [a.path for a in opened.tracking.artifacts(run.id)]
    assert paths == ["code/uncommitted.patch", "code/untracked/new.py", "environment.lock"]
    assert kept.tags["mlflow.source.git.commit"]
    out = tmp_path / "out"
    command = [sys.executable, "-m", "tidemill", "runs", "code", run.id[:12], "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert read(out) == {"train.py": b"x = 2\n", "new.py": b"y = 3\n"}
    again = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "is not empty" in again.stderr
