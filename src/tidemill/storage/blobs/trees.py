"""Folders as blobs: every file, and a manifest whose digest names the whole."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import msgspec

from tidemill.core import digest as digests
from tidemill.storage.blobs.errors import BlobDamaged, FolderNotFound, UnsafeName
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.records import Blob, TreeEntry
from tidemill.storage.folders import sync_folder

LONGEST_NAME = 255
MOST_PARTS = 100

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_DRIVE = re.compile(r"[A-Za-z]:")
_RESERVED = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)
_CANNOT_LINK = frozenset({errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP, errno.EACCES})


def put_tree(store: BlobStore, folder: Path) -> Blob:
    """Store a folder's regular files; links are not followed and not stored.

    Returns:
        The manifest's blob. The same files give the same digest, wherever the folder lay.

    Raises:
        FolderNotFound: There is no such folder.
        UnsafeName: A file's name could not be written out again everywhere.
        NoSpaceForBlobs: The disk is nearly full.
    """
    if not folder.is_dir():
        raise FolderNotFound(f"There is no folder {folder}.", expected="a folder to be stored")
    files = {
        path.relative_to(folder).as_posix(): path
        for path in folder.rglob("*")
        if path.is_file() and not path.is_symlink()
    }
    names = sorted(files)
    check_names(names)
    blobs = [store.put(files[name]) for name in names]
    entries = [TreeEntry(n, b.digest, b.size) for n, b in zip(names, blobs, strict=True)]
    return store.put(digests.canonical(entries))


def read_tree(store: BlobStore, digest: str) -> list[TreeEntry]:
    """Return the files of a stored folder.

    Raises:
        BlobNotFound: There is no such folder.
        BlobDamaged: The blob is no folder's manifest.
        UnsafeName: A file would lie outside the folder.
    """
    try:
        entries = msgspec.json.decode(store.read(digest), type=list[TreeEntry])
    except msgspec.DecodeError as error:
        raise BlobDamaged(
            f"The blob {digest} is not the manifest of a folder.",
            expected="the digest that storing a folder gave",
        ) from error
    check_names(entry.path for entry in entries)
    return entries


def get_tree(store: BlobStore, digest: str, into: Path) -> None:
    """Write a stored folder out, whole or not at all; a folder that is there is left as it is.

    Files are hard links to the store where the file system allows, and read-only.

    Raises:
        BlobNotFound: There is no such folder, or a file of it is missing.
        UnsafeName: A file would lie outside the folder.
    """
    if not into.exists():
        write_tree(store, read_tree(store, digest), into)


def write_tree(store: BlobStore, entries: list[TreeEntry], into: Path) -> None:
    """Write files out as a new folder, whole or not at all.

    Raises:
        BlobNotFound: One of them is missing.
        UnsafeName: One would lie outside the folder.
    """
    check_names(entry.path for entry in entries)
    into.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(prefix=f"{into.name}.", suffix=".part", dir=into.parent))
    try:
        draft.chmod(0o755)
        _write_out(store, entries, draft)
        draft.rename(into)
        sync_folder(into.parent)
    except OSError as error:
        # Another process was faster, which is as good; anything else is trouble.
        if error.errno not in {errno.ENOTEMPTY, errno.EEXIST} or not into.exists():
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def check_names(paths: Iterable[str]) -> None:
    """Refuse paths that would leave their folder, or that cannot lie side by side everywhere.

    Raises:
        UnsafeName: One of them cannot be a file's, or two would be one on some file system.

    Example:
        >>> check_names(["model.onnx", "parts/a.txt"])
        >>> check_names(["../etc/passwd"])
        Traceback (most recent call last):
        ...
        tidemill.storage.blobs.errors.UnsafeName: '../etc/passwd' cannot be a file ...
    """
    files: dict[str, str] = {}
    folders: dict[str, str] = {}
    for path in paths:
        _check(path)
        folded = _folded(path)
        parents = [str(p) for p in PurePosixPath(folded).parents][:-1]
        clash = files.get(folded) or folders.get(folded) or _first(files, parents)
        if clash is not None:
            raise UnsafeName(
                f"{path!r} and {clash!r} are one name on some file systems.",
                expected="names that differ by more than case, and no file that is a folder too",
                hint="Rename one of them.",
            )
        files[folded] = path
        folders |= dict.fromkeys(parents, path)


def _check(path: str) -> None:
    parts = path.split("/")
    if (
        len(parts) > MOST_PARTS
        or "\\" in path
        or _DRIVE.match(path)
        or _CONTROL.search(path)
        or any(_is_unsafe(part) for part in parts)
    ):
        raise UnsafeName(
            f"{path!r} cannot be a file of a stored folder.",
            expected="a relative path with forward slashes, without '..' and control characters",
            hint="Rename the file.",
        )


def _is_unsafe(part: str) -> bool:
    try:
        size = len(part.encode())
    except UnicodeEncodeError:  # bytes that are no text, or half of a pair
        return True
    return (
        part in {"", ".", ".."}
        or size > LONGEST_NAME
        or part[-1] in ". "
        or _RESERVED.fullmatch(part) is not None
    )


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", path).casefold())


def _first(known: dict[str, str], names: list[str]) -> str | None:
    return next((known[name] for name in names if name in known), None)


def _write_out(store: BlobStore, entries: list[TreeEntry], folder: Path) -> None:
    folders = {folder}
    for entry in entries:
        target = folder / entry.path
        target.parent.mkdir(parents=True, exist_ok=True)
        _link(store.locate(entry.digest), target)
        folders.update(p for p in target.parents if p.is_relative_to(folder))
    for each in sorted(folders):
        sync_folder(each)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        with source.open("rb") as stream, target.open("xb") as out:
            shutil.copyfileobj(stream, out)
            os.fchmod(out.fileno(), 0o444)
            os.fsync(out.fileno())
