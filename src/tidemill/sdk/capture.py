"""What a program that starts a run is: its commit, what differs from it, and its environment.

The commit, the patch of uncommitted changes and the files that git does not know yet, together,
are the code exactly. Files that git ignores are left out, and so are those whose names say that
they hold secrets.
"""

from __future__ import annotations

import fnmatch
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import msgspec

from tidemill.tracking.errors import BadArtifactPath
from tidemill.tracking.validation import check_path

PATCH = "code/uncommitted.patch"
UNTRACKED = "code/untracked"
LOCK = "environment.lock"
MOST_OF_FILE = 1 << 20
MOST_OF_ALL = 16 << 20
_SECRET = (
    ".env",
    ".env.*",
    "*.pem",
    "*.key",
    "id_*",
    "*credential*",
    "*secret*",
    ".netrc",
    ".npmrc",
)
_SECONDS = 10


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """The code of a program.

    Attributes:
        root: The repository's folder.
        commit: The commit that is checked out; empty before the first.
        branch: The branch; empty where none is checked out.
        patch: What differs from the commit, as git writes it.
        untracked: The files that git does not know, by their paths below the root.
        left_out: Paths of files that are too large, too many, secret by their names, or so called
            that no artifact can be.
    """

    root: str
    commit: str
    branch: str
    patch: bytes
    untracked: dict[str, Path]
    left_out: tuple[str, ...]


def captured(folder: Path, *, home: Path | None = None) -> Capture | None:
    """Return the code around a folder, or nothing where it is in no git repository.

    Args:
        folder: Where the program runs.
        home: A home that may lie in the repository, and is no part of the code.
    """
    try:
        root = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip())
        commit = _git(root, "rev-parse", "--verify", "--quiet", "HEAD^{commit}", fails="")
        branch = _git(root, "symbolic-ref", "--short", "--quiet", "HEAD", fails="")
        against = ["HEAD"] if commit else ["4b825dc642cb6eb9a060e54bf8d69288fbee4904"]
        patch = _git(root, "diff", "--binary", "--no-color", "--no-ext-diff", *against)
        names = _git(root, "ls-files", "--others", "--exclude-standard", "-z")
    except (OSError, subprocess.SubprocessError):
        return None
    untracked: dict[str, Path] = {}
    left_out: list[str] = []
    size = len(patch)
    for name in sorted(names.decode(errors="surrogateescape").split("\0")[:-1]):
        path = root / name
        if home is not None and path.is_relative_to(home.resolve()):
            continue
        length = path.stat().st_size if path.is_file() and not path.is_symlink() else None
        fits = length is not None and length <= MOST_OF_FILE and size + length <= MOST_OF_ALL
        if not fits or _is_secret(name) or not _is_path(f"{UNTRACKED}/{name}"):
            left_out.append(name.encode(errors="replace").decode())
            continue
        untracked[name] = path
        size += length or 0
    return Capture(
        root=str(root),
        commit=commit.decode().strip(),
        branch=branch.decode().strip(),
        patch=patch if len(patch) <= MOST_OF_ALL else b"",
        untracked=untracked,
        left_out=tuple(left_out),
    )


@cache
def environment_lock() -> str:
    """Return every installed distribution with its version, as `uv pip install -r` reads it."""
    from tidemill.pipelines.code import environment

    known = environment()
    lines = [f"{name}=={version}" for name, version in known.packages.items()]
    return "\n".join([f"# Python {known.python} on {known.platform}", *lines, ""])


def script() -> str:
    """Return the program's name, as a person would call it."""
    return sys.argv[0] if sys.argv and sys.argv[0] else "python"


def rebuild(capture: Path, root: Path, commit: str, into: Path) -> None:
    """Write the code of a run out: the commit, with the patch applied and the new files added.

    Args:
        capture: A folder with the run's files below `code/`.
        root: A clone of the repository that has the commit.
        commit: The commit; empty where there was none yet.
        into: An empty folder.

    Raises:
        subprocess.CalledProcessError: The repository does not have the commit.
    """
    into.mkdir(parents=True, exist_ok=True)
    _git(into, "init", "--quiet")
    if commit:
        packed = _git(root, "archive", "--format=tar", commit)
        subprocess.run(["tar", "-x", "-C", str(into)], input=packed, check=True, timeout=60)
    patch = capture / PATCH
    if patch.exists():
        _git(into, "apply", "--whitespace=nowarn", "--allow-empty", str(patch.absolute()))
    for path in _files(capture / UNTRACKED):
        target = into / path.relative_to(capture / UNTRACKED)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())


def _files(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.is_file())


def _is_secret(name: str) -> bool:
    last = name.rpartition("/")[2].lower()
    return any(fnmatch.fnmatch(last, pattern) for pattern in _SECRET)


def _is_path(name: str) -> bool:
    try:
        check_path(name)
    except BadArtifactPath:
        return False
    return True


def _git(folder: Path, *arguments: str, fails: str | None = None) -> bytes:
    """Run git; where `fails` is given, it is the answer where git says no."""
    done = subprocess.run(
        ["git", "-C", str(folder), *arguments],
        check=fails is None,
        capture_output=True,
        timeout=_SECONDS,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout if done.returncode == 0 else (fails or "").encode()
