"""The code and the environment of a run, as digests that can be brought back."""

from __future__ import annotations

import platform
import subprocess
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import msgspec

from tidemill.core import digest
from tidemill.core.errors import InvalidData
from tidemill.pipelines.errors import PipelinesError
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.records import TreeEntry

PATTERNS = ("*.py", "*.toml", "requirements*.txt", "uv.lock", "contracts/*.toml")
MOST_FILES = 2000
MOST_BYTES = 32 << 20
_SKIPPED = frozenset({"__pycache__", "node_modules", "venv", "build", "dist"})


class ProjectTooLarge(PipelinesError, InvalidData):
    """The project's code is larger than a snapshot may be."""


class Environment(msgspec.Struct, frozen=True):
    """What code runs in.

    Attributes:
        python: The version of Python.
        platform: The operating system and processor.
        packages: Every installed distribution and its version.
    """

    python: str
    platform: str
    packages: dict[str, str]

    @property
    def digest(self) -> str:
        """The digest that names it."""
        return digest.of_record(self)


def snapshot_code(project: Path, blobs: BlobStore) -> str:
    """Store a project's code, policy and contracts, and return the digest that names them.

    Raises:
        ProjectTooLarge: There are too many files, or they are too large, to be code.
    """
    entries: list[TreeEntry] = []
    size = 0
    for path in _code_files(project):
        size += path.stat().st_size
        if len(entries) == MOST_FILES or size > MOST_BYTES:
            raise ProjectTooLarge(
                f"The code of {project} has over {MOST_FILES:,} files or {MOST_BYTES >> 20} MiB.",
                expected="a folder with the project's own code",
                hint="Keep environments and data in folders that begin with a dot, or elsewhere.",
            )
        blob = blobs.put(path)
        entries.append(TreeEntry(path.relative_to(project).as_posix(), blob.digest, blob.size))
    return blobs.put(digest.canonical(entries)).digest


def environment() -> Environment:
    """Return what this process runs in."""
    packages = {
        d.metadata["Name"].lower(): d.version for d in distributions() if d.metadata["Name"]
    }
    return Environment(
        platform.python_version(), platform.platform(), dict(sorted(packages.items()))
    )


def git_commit(project: Path) -> str | None:
    """Return the project's commit, marked where files differ from it; nothing outside git."""
    try:
        commit = _git(project, "rev-parse", "HEAD")
        changed = _git(project, "status", "--porcelain", "--untracked-files=normal", "--", ".")
    except (OSError, subprocess.SubprocessError):
        return None
    return commit + ("+changes" if changed else "")


def _git(project: Path, *arguments: str) -> str:
    answer = subprocess.run(
        ["git", "-C", str(project), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=10,
    )
    return answer.stdout.strip()


def _code_files(project: Path) -> Iterator[Path]:
    found = {path for pattern in PATTERNS for path in _below(project, pattern)}
    yield from sorted(found)


def _below(project: Path, pattern: str) -> Iterator[Path]:
    for path in project.rglob(pattern):
        parts = path.relative_to(project).parts
        if any(part.startswith(".") or part in _SKIPPED for part in parts[:-1]):
            continue
        if path.is_file() and not path.is_symlink():
            yield path
