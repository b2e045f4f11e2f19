"""Makes a home of an export again: files first, then all rows in one transaction.

Whoever is killed in between has a home that is empty still, and does it again.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec
from sqlalchemy import Connection

from tidemill.core import digest as digests
from tidemill.exchange.errors import BadSource, HomeNotEmpty, SourceNotFound
from tidemill.exchange.whole import layout
from tidemill.exchange.whole.holdings import Holdings
from tidemill.exchange.whole.layout import Manifest
from tidemill.exchange.whole.tables import is_empty, read_table, table_file
from tidemill.predictions.segments import endpoints, files_of
from tidemill.storage.db.migration import heads

Progress = Callable[[int, int], None]
_PART = re.compile(r"[\w][\w.@%+=, -]{0,254}")


class Restorer:
    """Fills an empty home.

    Args:
        home: Where everything is to lie.
    """

    def __init__(self, home: Holdings) -> None:
        self._home = home

    def read(self, folder: Path, *, on_progress: Progress | None = None) -> Manifest:
        """Take in an export.

        Args:
            folder: The export.
            on_progress: Called with the number of stored files that are done, and of all.

        Raises:
            SourceNotFound: There is no export.
            BadSource: It is damaged, or of another version.
            HomeNotEmpty: The home holds something already; nothing was changed.
        """
        manifest = read_manifest(folder)
        with self._home.db.read() as connection:
            self._require_empty(connection)
        self._take_blobs(folder, manifest, on_progress)
        letterbox = folder / layout.PREDICTIONS
        for endpoint in endpoints(letterbox):
            _take_files(files_of(letterbox, endpoint), letterbox, self._home.predictions)
        logs = folder / layout.LOGS
        _take_files(sorted(logs.glob("*/*/*.log")), logs, self._home.runs)
        self._home.db.write(lambda c: self._take_rows(c, folder, manifest))
        return manifest

    def _require_empty(self, connection: Connection) -> None:
        for table in self._home.tables:
            if not is_empty(connection, table):
                raise HomeNotEmpty(
                    f"The home holds something already: there are rows in {table.name}.",
                    expected="an empty home",
                    hint="Name a new one: tidemill import FOLDER --home NEW",
                )

    def _take_blobs(self, folder: Path, manifest: Manifest, on_progress: Progress | None) -> None:
        names = _blobs(folder)
        if len(names) != manifest.blobs:
            raise BadSource(
                f"{folder} has {len(names):,} stored files.",
                expected=f"the {manifest.blobs:,} that its {layout.MANIFEST} tells of",
            )
        for done, (digest, path) in enumerate(names, 1):
            if not self._home.blobs.has(digest) and self._home.blobs.put(path).digest != digest:
                raise BadSource(
                    f"{path} has changed since it was exported.",
                    expected="the bytes that its name promises",
                    hint="Take that file from another copy of the export.",
                )
            if on_progress is not None:
                on_progress(done, len(names))

    def _take_rows(self, connection: Connection, folder: Path, manifest: Manifest) -> None:
        self._require_empty(connection)
        for table in self._home.tables:
            name = table_file(table)
            count = read_table(connection, table, folder / name)
            if count != manifest.rows.get(name):
                raise BadSource(
                    f"{folder / name} has {count:,} rows.",
                    expected=f"the {manifest.rows.get(name)} that {layout.MANIFEST} tells of",
                )


def read_manifest(folder: Path) -> Manifest:
    """Return what an export says of itself.

    Raises:
        SourceNotFound: There is no export.
        BadSource: It is of another version.
    """
    path = folder / layout.MANIFEST
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise SourceNotFound(
            f"{folder} is no export of Tidemill: it has no {layout.MANIFEST}.",
            expected="a folder that `tidemill export` wrote",
            hint="From MLflow, import with: tidemill import mlflow SOURCE",
        ) from error
    except msgspec.DecodeError as error:
        raise BadSource(f"{path} cannot be read: {error}.") from error
    ours = tuple(sorted(heads()))
    if manifest.format != layout.FORMAT or manifest.revisions != ours:
        other = sorted(set(manifest.revisions) ^ set(ours)) or [f"format {manifest.format}"]
        raise BadSource(
            f"{folder} was written by Tidemill {manifest.tidemill}, whose tables differ: "
            f"{', '.join(other)}.",
            expected=f"format {layout.FORMAT} and the tables of this version",
            hint="Import it with that version, then open the home with this one.",
        )
    return manifest


def _take_files(paths: Iterable[Path], source: Path, target: Path) -> None:
    for path in paths:
        parts = path.relative_to(source).parts
        if path.is_symlink() or not all(map(_PART.fullmatch, parts)):
            raise BadSource(f"{path} cannot be a log of a home.", expected="a plain file")
        place = target.joinpath(*parts)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def _blobs(folder: Path) -> list[tuple[str, Path]]:
    found = []
    for path in sorted((folder / layout.BLOBS).glob("*/*")):
        digest = path.parent.name + path.name
        if not digests.is_digest(digest) or path.is_symlink() or not path.is_file():
            raise BadSource(f"{path} is no stored file.", expected="a file called by its SHA-256")
        found.append((digest, path))
    return found
