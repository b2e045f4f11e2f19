"""The files that a dataset is made from: which there are, and whether they have changed."""

from __future__ import annotations

from pathlib import Path

from tidemill.datasets import frames, store
from tidemill.datasets.errors import UnreadableData
from tidemill.datasets.records import DataFile

State = tuple[int, int, int]
"""What changes when a file does: size, time of change in ns, inode."""


def matching_files(root: Path, pattern: str) -> dict[str, tuple[Path, State]]:
    """Return the files that a pattern names, and their states, by their path below the root.

    Raises:
        UnreadableData: The pattern leads outside of the root, or a link leads nowhere.
    """
    folder = root.resolve()
    found = {}
    try:
        candidates = sorted(folder.glob(pattern))
    except (NotImplementedError, ValueError) as error:
        raise UnreadableData(
            f"The source {pattern!r} is not a path below the project.",
            expected="a relative path or glob, such as data/*.parquet",
        ) from error
    parents: dict[Path, Path] = {}
    for path in candidates:
        # Most files share their folder: its links are followed once, not once for each file.
        parent = parents.setdefault(path.parent, path.parent.resolve())
        real = _followed(path) if path.is_symlink() else parent / path.name
        if not real.is_relative_to(folder):
            raise UnreadableData(
                f"The source {pattern!r} leads to {real}, outside the project.",
                expected=f"files below {folder}",
            )
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            found[name] = (path, state_of(path, name))
    return found


def _followed(path: Path) -> Path:
    try:
        return path.resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise UnreadableData(
            f"The link {path} leads nowhere.", expected="a link to a file of the project"
        ) from error


def state_of(path: Path, name: str) -> State:
    """Return the state of a file.

    Raises:
        UnreadableData: It is not there, or cannot be looked at.
    """
    try:
        state = path.stat()
    except FileNotFoundError as error:
        raise vanished(name) from error
    except OSError as error:
        raise frames.unreadable(name, error) from error
    return state.st_size, state.st_mtime_ns, state.st_ino


def vanished(name: str) -> UnreadableData:
    """Say that a file went away while it was read."""
    return UnreadableData(f"{name} is not there.", expected="a file that stays while it is read")


def unchanged(state: State, before: store.Seen, contract: str | None) -> bool:
    """Whether a file need not be looked at again."""
    same = state == (before.size, before.mtime_ns, before.inode)
    # A refused file is looked at again when the contract has changed.
    return same and (before.digest is not None or before.contract == contract)


def seen_as(name: str, state: State, file: DataFile | None, contract: str | None) -> store.Seen:
    """Return what is kept of a file that was taken, or refused."""
    size, mtime_ns, inode = state
    return store.Seen(
        path=name,
        size=size,
        mtime_ns=mtime_ns,
        inode=inode,
        digest=None if file is None else file.digest,
        contract=contract,
    )
