"""Blobs as files in a folder: temporary file, fsync, rename, fsync of the folder."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from tidemill.core import digest as digests
from tidemill.storage.blobs.errors import BlobDamaged, BlobNotFound, NoSpaceForBlobs
from tidemill.storage.blobs.hashing import PIECE, Hasher
from tidemill.storage.blobs.records import Blob
from tidemill.storage.folders import sync_folder

RESERVE_BYTES = 64 << 20
RESERVE_SHARE = 0.02
LOOK_EVERY = 32 << 20
"""How many bytes of a stream are written before the disk's free space is looked at again."""
AHEAD = 8 << 20
"""How many bytes of a stream are written before the disk is told to begin with them."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})


class LocalBlobs:
    """A store in a local folder, `ab/cdef…` under its root.

    Any number of threads and processes may share one. Whoever adds a blob holds a shared lock for
    the moment in which it appears; whoever collects garbage holds it alone, so that a blob which
    is stored again just now is not taken away.

    Args:
        root: Made if it is missing.
        reserve: How many bytes stay free on the disk, for metadata; 64 MiB or 2 % of the disk,
            whichever is less, where it is left out.
    """

    def __init__(self, root: Path, *, reserve: int | None = None) -> None:
        self.root = root
        self._drafts = root / "drafts"
        self._lock = root / "lock"
        self._reserve = reserve
        if not self._drafts.exists():
            self._lay_out()

    def put(self, source: bytes | BinaryIO | Path) -> Blob:
        if isinstance(source, Path):
            with source.open("rb") as stream:
                return self._put(stream, os.fstat(stream.fileno()).st_size)
        if isinstance(source, bytes):
            blob = Blob(digests.of_bytes(source), len(source))
            with self._locked(fcntl.LOCK_SH):
                if self._renew(blob):
                    return blob
            return self._put(io.BytesIO(source), len(source))
        return self._put(source, 0)

    def open(self, digest: str) -> BinaryIO:
        return self.locate(digest).open("rb")

    def read(self, digest: str) -> bytes:
        content = self.locate(digest).read_bytes()
        if digests.of_bytes(content) != digest:
            raise BlobDamaged(
                f"The blob {digest} has changed on disk.",
                expected="the bytes that its name promises",
                hint="`tidemill doctor --scrub` lists damaged blobs; restore them from a backup.",
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
        for folder in sorted(self.root.iterdir()):
            if len(folder.name) == 2:
                for path in folder.iterdir():
                    yield folder.name + path.name

    def delete(self, digest: str) -> None:
        self._path(digest).unlink(missing_ok=True)

    def delete_if_older(self, digest: str, moment: float) -> int | None:
        """Remove a blob that nobody has stored since a moment; return its size if it was removed.

        Args:
            digest: The blob.
            moment: Seconds since 1970.
        """
        with self._locked(fcntl.LOCK_EX):
            path = self._path(digest)
            try:
                status = path.stat()
            except FileNotFoundError:
                return None
            if status.st_mtime >= moment:
                return None
            path.unlink()
            return status.st_size

    def set_aside(self, digest: str) -> Path:
        """Move a damaged blob out of the way, so that storing its bytes again mends it."""
        aside = self.root / "damaged" / digest
        aside.parent.mkdir(exist_ok=True)
        with self._locked(fcntl.LOCK_EX):
            self.locate(digest).replace(aside)
        sync_folder(aside.parent)
        return aside

    def drafts(self) -> Iterator[Path]:
        """Go through the files of puts that are under way, or that a killed process left."""
        yield from self._drafts.iterdir()

    def _lay_out(self) -> None:
        """Make every folder at once, so that no put ever has to sync more than its own."""
        try:
            for number in range(256):
                (self.root / f"{number:02x}").mkdir(parents=True, exist_ok=True)
            self._lock.touch(mode=0o600)
            sync_folder(self.root)
            sync_folder(self.root.parent)
            self._drafts.mkdir(exist_ok=True)  # the last, since it says that all are there
            sync_folder(self.root)
        except OSError as error:
            if error.errno in _FULL:
                raise self._full(0) from error
            raise

    def _path(self, digest: str) -> Path:
        if not digests.is_digest(digest):
            raise BlobNotFound(f"{digest!r} is not a digest.", expected="64 hexadecimal digits")
        return self.root / digest[:2] / digest[2:]

    def _put(self, stream: BinaryIO, size: int) -> Blob:
        self._keep_reserve(size)
        descriptor, name = tempfile.mkstemp(dir=self._drafts)
        draft = Path(name)
        try:
            with io.FileIO(descriptor, "wb") as out:
                blob = self._copy(stream, size, out)
            self._publish(draft, blob)
        except OSError as error:
            if error.errno in _FULL:
                raise self._full(size) from error
            raise
        finally:
            draft.unlink(missing_ok=True)
        return blob

    def _copy(self, stream: BinaryIO, size: int, out: io.FileIO) -> Blob:
        with Hasher(min(size, PIECE) or PIECE) as hasher:
            copied = self._pass(stream, out, hasher)
            os.fchmod(out.fileno(), 0o444)
            os.fsync(out.fileno())
            return Blob(hasher.digest(), copied)

    def _pass(self, stream: BinaryIO, out: io.FileIO, hasher: Hasher) -> int:
        size = begun = 0
        while got := _fill(buffer := hasher.buffer(), stream):
            _write(out, buffer, got)
            hasher.feed(buffer, got)
            size += got
            if size - begun >= AHEAD:
                _begin_to_store(out, begun, size)
                begun = size
            if size % LOOK_EVERY < got:
                self._keep_reserve(0)
        return size

    def _publish(self, draft: Path, blob: Blob) -> None:
        with self._locked(fcntl.LOCK_SH):
            if self._renew(blob):
                return
            final = self._path(blob.digest)
            draft.replace(final)
            sync_folder(final.parent)

    def _renew(self, blob: Blob) -> bool:
        """Tell whether a blob is there, whole; its age begins anew, so that it is not collected.

        Whoever put it first may not have synced the folder yet, so it is synced here too.
        """
        final = self._path(blob.digest)
        try:
            if final.stat().st_size != blob.size:
                return False
            os.utime(final)
        except FileNotFoundError:
            return False
        sync_folder(final.parent)
        return True

    @contextmanager
    def _locked(self, kind: int) -> Iterator[None]:
        descriptor = os.open(self._lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, kind)
            yield
        finally:
            os.close(descriptor)

    def _keep_reserve(self, size: int) -> None:
        usage = shutil.disk_usage(self.root)
        if usage.free - size < self._reserved(usage.total):
            raise self._full(size)

    def _reserved(self, total: int) -> int:
        if self._reserve is not None:
            return self._reserve
        return min(RESERVE_BYTES, int(total * RESERVE_SHARE))

    def _full(self, size: int) -> NoSpaceForBlobs:
        usage = shutil.disk_usage(self.root)
        wanted = f", and {size:,} are to be stored" if size else ""
        return NoSpaceForBlobs(
            f"{usage.free:,} bytes are free at {self.root}{wanted}.",
            expected=f"at least {self._reserved(usage.total):,} to stay free, for metadata",
            hint="Free some space on that disk and try again.",
        )


def _fill(buffer: bytearray, stream: BinaryIO) -> int:
    """Read the next bytes of a stream into a buffer; return how many, and 0 at its end.

    Other classes than these may have a `read` of their own beside the `readinto` they inherited.
    """
    if isinstance(stream, io.RawIOBase) or type(stream) is io.BufferedReader:
        return stream.readinto(buffer) or 0
    piece = stream.read(len(buffer))
    buffer[: len(piece)] = piece
    return len(piece)


def _write(out: io.FileIO, buffer: bytearray, size: int) -> None:
    with memoryview(buffer) as view:
        written = 0
        while written < size:
            written += out.write(view[written:size])


def _begin_to_store(out: io.FileIO, start: int, end: int) -> None:
    """Have the kernel begin to write a stretch to the disk, so that little is left for the sync.

    To drop pages is a wish for which those must be written first that are not. While they are
    written, and that is now, they are not dropped.
    """
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(out.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)


if TYPE_CHECKING:
    from tidemill.storage.blobs.protocol import BlobStore

    _CONFORMS: BlobStore = LocalBlobs(Path())
