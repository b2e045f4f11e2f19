"""Where a source's artifacts may be read: inside named folders, and nowhere else."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO
from urllib.parse import unquote, urlsplit

from tidemill.exchange.errors import ArtifactsElsewhere, BadSource
from tidemill.exchange.mlflow.records import SourceFile

_PROXY = "mlflow-artifacts"


class Places:
    """Finds artifact folders inside the roots that may be read.

    A place that a source names is only a hint. It counts if it lies inside a root; if the source
    has moved since, the same last parts of the path are looked for below each root.

    Args:
        base: The source's own folder, which relative places begin at; also a root.
        others: Further folders that may be read.

    Raises:
        BadSource: One of the others is no folder.
    """

    def __init__(self, base: Path, others: Sequence[Path] = ()) -> None:
        for folder in others:
            if not folder.is_dir():
                raise BadSource(
                    f"There is no folder {folder} to read artifacts from.",
                    expected="the folder that MLflow kept artifacts in",
                )
        self._base = base.resolve()
        self._roots = [self._base, *(folder.resolve() for folder in others)]
        self.skipped = 0

    def find(self, place: str, *, parts: int) -> Path | None:
        """Return the folder of a place, or nothing where it was never made.

        Args:
            place: A path or URI, as the source says it.
            parts: How many of its last parts name the owner, for a source that has moved.

        Raises:
            ArtifactsElsewhere: It lies outside the roots, or in a store that is no folder.
        """
        scheme, path = _split(place)
        if scheme not in {"", "file", _PROXY}:
            raise _elsewhere(place)
        if scheme == _PROXY:
            return self._below(path.strip("/"))
        named = (self._base / path).resolve()
        if self._is_inside(named):
            if named.is_dir():
                return named
            return self._below("/".join(Path(path).parts[-parts:]))
        moved = self._below("/".join(Path(path).parts[-parts:]))
        if moved is None:
            raise _elsewhere(place)
        return moved

    def files(self, folder: Path) -> Iterator[SourceFile]:
        """Go through the regular files below a folder; links are not followed, and counted."""
        yield from self._walk(folder, "")

    def _walk(self, folder: Path, prefix: str) -> Iterator[SourceFile]:
        for entry in _entries(folder):
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                yield from self._walk(path, f"{prefix}{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                yield SourceFile(f"{prefix}{entry.name}", Opener(path))
            else:
                self.skipped += 1

    def _below(self, path: str) -> Path | None:
        for root in self._roots:
            for folder in (root / path, root / "mlruns" / path, root / "mlartifacts" / path):
                found = folder.resolve()
                if self._is_inside(found) and found.is_dir():
                    return found
        return None

    def _is_inside(self, path: Path) -> bool:
        return any(path.is_relative_to(root) for root in self._roots)


def _split(place: str) -> tuple[str, str]:
    """Return a place's scheme and path.

    Example:
        >>> _split("file:///data/mlruns/1/a%20b"), _split("mlruns/0"), _split("s3://b/k")
        (('file', '/data/mlruns/1/a b'), ('', 'mlruns/0'), ('s3', 'b/k'))
    """
    if "\x00" in place:
        raise _elsewhere(place)
    if "://" not in place and ":/" not in place:
        return "", place
    parts = urlsplit(place)
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"}:
            raise _elsewhere(place)
        return "file", unquote(parts.path)
    if parts.scheme == _PROXY:
        return _PROXY, parts.path
    return parts.scheme, f"{parts.netloc}{parts.path}"


class Opener:
    """Opens one file, if it is still a regular one."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> BinaryIO:
        try:
            # Neither a link nor a pipe, which would be waited for, may have taken its place.
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
            descriptor = os.open(self._path, flags)
        except OSError as error:
            raise BadSource(
                f"The artifact {self._path} cannot be read: {error.strerror}.",
                expected="a file that this user may read",
            ) from error
        stream = os.fdopen(descriptor, "rb")
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            stream.close()
            raise BadSource(f"{self._path} is no file any more.")
        return stream


def _entries(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        raise BadSource(
            f"The folder {folder} cannot be read: {error.strerror}.",
            expected="a folder that this user may read",
        ) from error


def _elsewhere(place: str) -> ArtifactsElsewhere:
    return ArtifactsElsewhere(
        f"Artifacts lie at {place[:300]!r}, outside the source's own folder.",
        expected="a place inside it",
        hint="Allow that folder with --artifacts FOLDER, or leave files out with --no-artifacts.",
    )
