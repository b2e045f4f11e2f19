"""The bundle: a model version as a folder, packed once and verified whenever it is opened."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import msgspec

from tidemill.core import digest
from tidemill.models.errors import BundleDamaged, BundleNotFound
from tidemill.models.records import FORMAT, FileEntry, Manifest

MANIFEST = "manifest.json"
REFERENCE = "reference.parquet"


def open_bundle(folder: Path, *, verify: bool = True) -> Manifest:
    """Read a bundle's manifest and check every file that it names.

    Args:
        folder: Where the bundle lies.
        verify: Whether files are hashed; without it only the manifest is read.

    Raises:
        BundleNotFound: There is no manifest.
        BundleDamaged: The manifest cannot be read, names a file outside the folder, or a file is
            missing or changed.
    """
    try:
        manifest = msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise BundleNotFound(f"There is no bundle in {folder}.") from error
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise BundleDamaged(f"The manifest in {folder} cannot be read: {error}.") from error
    if manifest.format > FORMAT:
        raise BundleDamaged(
            f"The bundle in {folder} has format {manifest.format}.",
            expected=f"at most {FORMAT}",
            hint="It was packed by a newer version: upgrade with `pip install -U tidemill`.",
        )
    for entry in manifest.files:
        _check(folder, entry, verify=verify)
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with an entry for every other file of the folder, and return it."""
    entries = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != MANIFEST:
            content = path.read_bytes()
            entries.append(FileEntry(name, len(content), digest.of_bytes(content)))
    whole = msgspec.structs.replace(manifest, files=tuple(entries))
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1))
    return whole


def _check(folder: Path, entry: FileEntry, *, verify: bool) -> None:
    name = PurePosixPath(entry.path)
    if name.is_absolute() or ".." in name.parts or "\\" in entry.path:
        raise BundleDamaged(f"The manifest in {folder} names {entry.path!r}, outside the bundle.")
    path = folder / entry.path
    if path.is_symlink() or not path.is_file() or path.stat().st_size != entry.size:
        raise BundleDamaged(
            f"The file {entry.path} of the bundle in {folder} is missing or has another size.",
            expected=f"{entry.size:,} bytes",
        )
    if verify and digest.of_bytes(path.read_bytes()) != entry.digest:
        raise BundleDamaged(f"The file {entry.path} of the bundle in {folder} has changed.")
