"""Writes a home out: into FOLDER.part, which becomes FOLDER when everything is on disk."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from tidemill import __version__
from tidemill.exchange.errors import BadTarget, TargetExists
from tidemill.exchange.whole import layout
from tidemill.exchange.whole.holdings import Holdings
from tidemill.exchange.whole.layout import Manifest
from tidemill.exchange.whole.naming import name_files
from tidemill.exchange.whole.tables import table_file, write_table
from tidemill.predictions.compaction import tidy
from tidemill.predictions.reader import META, read_labels, read_predictions
from tidemill.predictions.segments import KINDS, endpoints, files_of, held_still
from tidemill.storage.blobs.errors import BlobDamaged
from tidemill.storage.db.migration import heads
from tidemill.storage.folders import sync_folder
from tidemill.storage.living import living

CHUNK = 1 << 20
Progress = Callable[[int, int], None]


class Exporter:
    """Writes out everything that a home keeps.

    Args:
        home: Where it lies.
    """

    def __init__(self, home: Holdings) -> None:
        self._home = home

    def write(self, folder: Path, *, on_progress: Progress | None = None) -> Manifest:
        """Write an export; a part of one that an interruption left is begun anew.

        Args:
            folder: Where to; made here.
            on_progress: Called with the number of stored files that are done, and of all.

        Raises:
            TargetExists: The folder is there already.
            BadTarget: It cannot be made there.
            BlobDamaged: A stored file is not what its name promises.
        """
        part = _begun(folder)
        rows, names = self._write_tables(part)
        size = 0
        for done, digest in enumerate(sorted(names), 1):
            size += self._write_blob(part, digest)
            if on_progress is not None:
                on_progress(done, len(names))
        name_files(part)
        self._write_logs(part)
        self._write_predictions(part)
        manifest = Manifest(
            tidemill=__version__,
            revisions=tuple(sorted(heads())),
            rows=rows,
            blobs=len(names),
            blob_bytes=size,
        )
        content = msgspec.json.format(msgspec.json.encode(manifest), indent=2)
        (part / layout.MANIFEST).write_bytes(content + b"\n")
        (part / layout.README).write_text(layout.TEXT, "utf-8")
        _sync(part)
        part.rename(folder)
        sync_folder(folder.parent)
        return manifest

    def _write_tables(self, part: Path) -> tuple[dict[str, int], set[str]]:
        """Write all tables as of one moment, and say which stored files were alive then."""
        with self._home.db.read() as connection:
            rows = {
                table_file(table): write_table(connection, table, part / table_file(table))
                for table in sorted(self._home.tables, key=lambda t: t.name)
            }
            return rows, living(connection, self._home.tables, self._home.blobs, folders=())

    def _write_blob(self, part: Path, digest: str) -> int:
        target = part / layout.BLOBS / digest[:2] / digest[2:]
        target.parent.mkdir(parents=True, exist_ok=True)
        hasher = hashlib.sha256()
        size = 0
        with self._home.blobs.open(digest) as stream, target.open("xb") as out:
            while chunk := stream.read(CHUNK):
                hasher.update(chunk)
                out.write(chunk)
                size += len(chunk)
        if hasher.hexdigest() != digest:
            raise BlobDamaged(
                f"The blob {digest} has changed on disk, so it cannot be exported.",
                expected="the bytes that its name promises",
                hint="`tidemill doctor --scrub` lists damaged blobs; restore them from a backup.",
            )
        return size

    def _write_logs(self, part: Path) -> None:
        for path in sorted(self._home.runs.glob("*/*/*.log")):
            if path.is_file() and not path.is_symlink():
                _copy(path, part / layout.LOGS / path.relative_to(self._home.runs))

    def _write_predictions(self, part: Path) -> None:
        """Copy the letterbox as it is, for workers and monitor, and write it as Parquet."""
        target = part / layout.PREDICTIONS
        for endpoint in endpoints(self._home.predictions):
            for kind in KINDS:
                tidy(self._home.predictions, endpoint, kind)
            with held_still(self._home.predictions, endpoint):
                for path in files_of(self._home.predictions, endpoint):
                    _copy(path, target / path.relative_to(self._home.predictions))
        for folder in sorted(target.iterdir()) if target.is_dir() else []:
            predictions, _ = read_predictions(target, folder.name)
            labels, _ = read_labels(target, folder.name)
            # Features come in no order of their own, and equal exports are to be equal bytes.
            features = sorted(set(predictions.columns) - set(META))
            ordered = predictions.select(*META, *features)
            ordered.write_parquet(folder / "predictions.parquet", compression="zstd")
            labels.write_parquet(folder / "labels.parquet", compression="zstd")


def _begun(folder: Path) -> Path:
    if folder.exists() or folder.is_symlink():
        raise TargetExists(
            f"{folder} is there already.",
            expected="a folder that is to be made",
            hint="Name another one, or remove it first.",
        )
    part = folder.with_name(f"{folder.name}.part")
    try:
        if part.exists():
            shutil.rmtree(part)
        part.mkdir(parents=True)
    except OSError as error:
        raise BadTarget(
            f"{part} cannot be made: {error.strerror}.", expected="a place that can be written"
        ) from error
    return part


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)


def _sync(folder: Path) -> None:
    """Return when every file and name below a folder is on disk."""
    for parent, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(Path(parent) / name, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        sync_folder(Path(parent))
