"""Gives the stored files of an export their names, from the tables that lie in it.

It reads the Parquet files as anybody would, and knows no database.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec
import polars as pl

from tidemill.exchange.whole.layout import BLOBS, FILES
from tidemill.storage.blobs.errors import UnsafeName
from tidemill.storage.blobs.records import TreeEntry
from tidemill.storage.blobs.trees import check_names

Named = tuple[str, str]
"""A path below `files`, and the digest of what is there."""


class _Bundled(msgspec.Struct):
    bundle: str | None = None


def name_files(export: Path) -> None:
    """Link every file of runs, models, bundles and datasets under its name.

    A name that no file can have here is left out: its bytes are among the blobs all the same.
    """
    for path, digest in (
        *_artifacts(export, "artifacts", "run_id", "runs"),
        *_artifacts(export, "model_artifacts", "model_id", "models"),
        *_bundles(export),
        *_datasets(export),
    ):
        source = _blob(export, digest)
        try:
            check_names([path])
        except UnsafeName:
            continue
        if source.is_file():
            _link(source, export / FILES / path)


def _artifacts(export: Path, table: str, owner: str, kind: str) -> Iterator[Named]:
    rows = _read(export, f"tracking/{table}").select(owner, "path", "digest").iter_rows()
    return ((f"{kind}/{name}/{path}", digest) for name, path, digest in rows)


def _bundles(export: Path) -> Iterator[Named]:
    rows = _read(export, "registry/versions").select("model", "version", "record").iter_rows()
    for model, version, record in rows:
        bundle = msgspec.json.decode(record, type=_Bundled).bundle
        if bundle is None or not _blob(export, bundle).is_file():
            continue
        entries = msgspec.json.decode(_blob(export, bundle).read_bytes(), type=list[TreeEntry])
        for entry in entries:
            yield f"registry/{_safe(model)}/{version}/{entry.path}", entry.digest


def _datasets(export: Path) -> Iterator[Named]:
    columns = ("dataset", "added", "place", "name", "digest")
    for dataset, added, place, name, digest in (
        _read(export, "datasets/files").select(*columns).iter_rows()
    ):
        stem = _safe(name.rpartition("/")[2].removesuffix(".parquet"))[:150]
        yield f"datasets/{_safe(dataset)}/{added}-{place}-{stem}.parquet", digest


def _read(export: Path, table: str) -> pl.DataFrame:
    return pl.read_parquet(export / "tables" / f"{table}.parquet")


def _blob(export: Path, digest: str) -> Path:
    return export / BLOBS / digest[:2] / digest[2:]


def _safe(name: str) -> str:
    """Return a name that is one part of a path.

    Example:
        >>> _safe("flights"), _safe("a/b c"), _safe("..")
        ('flights', 'a%2Fb c', '%2E%2E')
    """
    return name.replace(".", "%2E") if name.strip(".") == "" else quote(name, safe=" ._-+=,()@äöüß")


def _link(source: Path, target: Path) -> None:
    """Link a file, or copy it where links are not to be had."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        return  # a file is where a folder is to be: both names were kept, only one can be here
    try:
        os.link(source, target)
    except FileExistsError:
        return
    except OSError:
        shutil.copyfile(source, target)
