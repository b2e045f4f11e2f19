"""Writes the code of a run out, as it was when the run was started."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import msgspec

from tidemill.core.errors import Conflict, NotFound
from tidemill.sdk.capture import rebuild
from tidemill.sdk.session import Session


class NoCode(NotFound):
    """Nothing is known of the run's code."""


class FolderInUse(Conflict):
    """There is something in the folder already."""


class NoRepository(NotFound):
    """The commit that the run was made of is not to be had."""


class Written(msgspec.Struct, frozen=True):
    """What was written.

    Attributes:
        folder: Where.
        files: How many files.
    """

    folder: str
    files: int


def write_code(session: Session, run_id: str, folder: Path, repository: Path | None) -> Written:
    """Write a run's code into an empty folder.

    Args:
        session: Speaks to the home.
        run_id: The run.
        folder: Made where it is missing.
        repository: A clone that has the commit; where the run was started if it is left out.

    Raises:
        FolderInUse: The folder has something in it.
        NoCode: Nothing is known of the run's code.
        NoRepository: No repository there has the commit.
    """
    if folder.exists() and any(folder.iterdir()):
        raise FolderInUse(f"{folder} is not empty.", expected="a folder that is new or empty")
    run = session.ask("run", id=run_id)
    sources = session.ask("run_sources", id=run.id)
    if sources is not None:
        shutil.copytree(sources, folder, dirs_exist_ok=True, copy_function=shutil.copyfile)
    else:
        _from_git(session, run.id, run.tags, folder, repository)
    inside = (p.relative_to(folder).parts for p in folder.rglob("*") if p.is_file())
    return Written(str(folder), sum(1 for parts in inside if parts[0] != ".git"))


def _from_git(
    session: Session, run_id: str, tags: dict[str, str], folder: Path, repository: Path | None
) -> None:
    root = repository or Path(tags.get("tidemill.code.root", ""))
    if "tidemill.code.root" not in tags:
        raise NoCode(
            f"Nothing is known of the code of run {run_id}.",
            expected="a run of a pipeline, or one that was started inside a git repository",
        )
    commit = tags.get("mlflow.source.git.commit", "")
    capture = Path(session.ask("run_files", id=run_id, prefix="code"))
    try:
        rebuild(capture, root, commit, folder)
    except (OSError, subprocess.SubprocessError) as error:
        raise NoRepository(
            f"The commit {commit[:12]} cannot be had from {root}.",
            expected="a clone of the repository that has it",
            hint="Name one with --repository.",
        ) from error
    finally:
        shutil.rmtree(folder / ".git", ignore_errors=True)
