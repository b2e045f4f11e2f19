"""Folders as blobs: every file, and a manifest whose digest names the whole."""

from __future__ import annotations

import os
import secrets
import shutil
from pathlib import Path, PurePosixPath

import msgspec

from tidemill.core import digest as digests
from tidemill.storage.blobs.errors import BlobDamaged, UnsafeName
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.records import Blob, TreeEntry


def put_tree(store: BlobStore, folder: Path) -> Blob:
    """Store a folder's regular files; links are not followed and not stored.

    Returns:
        The manifest's blob. The same files give the same digest, wherever the folder lay.
    """
    entries = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not path.is_file():
            continue
        blob = store.put(path)
        entries.append(TreeEntry(path.relative_to(folder).as_posix(), blob.digest, blob.size))
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
        raise BlobDamaged(f"The blob {digest} is not the manifest of a folder.") from error
    for entry in entries:
        _check(entry.path)
    return entries


def get_tree(store: BlobStore, digest: str, into: Path) -> None:
    """Write a stored folder out, whole or not at all; a folder that is there is left as it is.

    Files are hard links to the store where the file system allows, and read-only.

    Raises:
        BlobNotFound: There is no such folder, or a file of it is missing.
        UnsafeName: A file would lie outside the folder.
    """
    if into.exists():
        return
    entries = read_tree(store, digest)
    draft = into.with_name(f"{into.name}.{secrets.token_hex(4)}.part")
    try:
        draft.mkdir(parents=True)
        for entry in entries:
            target = draft / entry.path
            target.parent.mkdir(parents=True, exist_ok=True)
            _link(store.locate(entry.digest), target)
        draft.rename(into)
    except FileExistsError:
        pass
    except OSError:
        if not into.exists():  # otherwise another process was faster, which is as good
            raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _check(path: str) -> None:
    parts = PurePosixPath(path).parts
    bad = (
        not parts
        or path.startswith("/")
        or "\\" in path
        or any(p in {"..", "."} or len(p.encode()) > 255 for p in parts)
        or any(ord(c) < 32 for c in path)
    )
    if bad:
        raise UnsafeName(f"{path!r} cannot be a file of a stored folder.")
