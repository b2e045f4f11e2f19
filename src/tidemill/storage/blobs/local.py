"""Blobs as files in a folder: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import hashlib
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tidemill.core import digest as digests
from tidemill.storage.blobs.errors import BlobDamaged, BlobNotFound, NoSpaceForBlobs
from tidemill.storage.blobs.records import Blob

CHUNK = 1 << 20
RESERVE_BYTES = 64 << 20
RESERVE_SHARE = 0.02


class LocalBlobs:
    """A store in a local folder, `ab/cdef…` under its root.

    Args:
        root: Made if it is missing.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._drafts = root / "drafts"
        self._drafts.mkdir(parents=True, exist_ok=True)

    def put(self, source: bytes | BinaryIO | Path) -> Blob:
        if isinstance(source, Path):
            with source.open("rb") as stream:
                return self._put(stream, source.stat().st_size)
        if isinstance(source, bytes):
            name = digests.of_bytes(source)
            if self._path(name).exists():
                return Blob(name, len(source))
            return self._put(io.BytesIO(source), len(source))
        return self._put(source, 0)

    def open(self, digest: str) -> BinaryIO:
        return self.locate(digest).open("rb")

    def read(self, digest: str) -> bytes:
        content = self.locate(digest).read_bytes()
        if digests.of_bytes(content) != digest:
            raise BlobDamaged(
                f"The blob {digest} has changed on disk.",
                hint="`tidemill doctor --scrub` finds every damaged blob; restore from a backup.",
            )
        return content

    def locate(self, digest: str) -> Path:
        path = self._path(digest)
        if not path.is_file():
            raise BlobNotFound(f"There is no blob {digest}.")
        return path

    def has(self, digest: str) -> bool:
        return self._path(digest).is_file()

    def digests(self) -> Iterator[str]:
        for folder in self._root.iterdir():
            if len(folder.name) == 2:
                for path in folder.iterdir():
                    yield folder.name + path.name

    def delete(self, digest: str) -> None:
        self._path(digest).unlink(missing_ok=True)

    def _path(self, digest: str) -> Path:
        if not digests.is_digest(digest):
            raise BlobNotFound(f"{digest!r} is not a digest.", expected="64 hexadecimal digits")
        return self._root / digest[:2] / digest[2:]

    def _put(self, stream: BinaryIO, size: int) -> Blob:
        self._refuse_when_full(size)
        draft = self._drafts / secrets.token_hex(16)
        try:
            blob = self._copy(stream, draft)
            final = self._path(blob.digest)
            if final.exists():
                return blob
            if not final.parent.exists():
                final.parent.mkdir(exist_ok=True)
                _sync_folder(self._root)
            draft.replace(final)
            _sync_folder(final.parent)
        finally:
            draft.unlink(missing_ok=True)
        return blob

    def _copy(self, stream: BinaryIO, draft: Path) -> Blob:
        hasher = hashlib.sha256()
        size = 0
        with draft.open("xb") as out:
            while chunk := stream.read(CHUNK):
                hasher.update(chunk)
                out.write(chunk)
                size += len(chunk)
            out.flush()
            os.fchmod(out.fileno(), 0o444)
            os.fsync(out.fileno())
        return Blob(hasher.hexdigest(), size)

    def _refuse_when_full(self, size: int) -> None:
        usage = shutil.disk_usage(self._root)
        reserve = min(RESERVE_BYTES, int(usage.total * RESERVE_SHARE))
        if usage.free - size < reserve:
            raise NoSpaceForBlobs(
                f"{usage.free >> 20} MiB are free at {self._root}, and {size >> 20} MiB are to be "
                "stored.",
                expected=f"at least {reserve >> 20} MiB to stay free, for metadata",
                hint="Free some space, for example with `tidemill gc`.",
            )


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


if TYPE_CHECKING:
    from tidemill.storage.blobs.protocol import BlobStore

    _CONFORMS: BlobStore = LocalBlobs(Path())
