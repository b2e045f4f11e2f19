"""The bundle: a model version as a folder, packed once and verified whenever it is opened."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from tidemill.models.errors import BundleDamaged, BundleNotFound
from tidemill.models.records import FORMAT, FileEntry, Manifest

MANIFEST = "manifest.json"
REFERENCE = "reference.parquet"
SIGNATURE = "signature.dsse.json"


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
    listed = {entry.path for entry in manifest.files}
    named = {manifest.original, manifest.twin.file if manifest.twin else None} - {None}
    if not named <= listed:
        raise BundleDamaged(
            f"The manifest in {folder} names {min(map(str, named - listed))!r} without a digest."
        )
    return manifest


def write_manifest(folder: Path, manifest: Manifest) -> Manifest:
    """Write the manifest with an entry for every other file of the folder, and return it."""
    entries = []
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in {MANIFEST, SIGNATURE}:
            entries.append(FileEntry(name, path.stat().st_size, _digest(path)))
    whole = msgspec.structs.replace(manifest, files=tuple(entries))
    (folder / MANIFEST).write_bytes(msgspec.json.format(msgspec.json.encode(whole), indent=1))
    return whole


def _check(folder: Path, entry: FileEntry, *, verify: bool) -> None:
    if not _is_safe(entry.path):
        raise BundleDamaged(f"The manifest in {folder} names {entry.path!r}, outside the bundle.")
    path = folder / entry.path
    inside = [path, *path.parents][: len(path.relative_to(folder).parts)]
    if any(p.is_symlink() for p in inside) or not path.is_file() or _size(path) != entry.size:
        raise BundleDamaged(
            f"The file {entry.path} of the bundle in {folder} is missing or has another size.",
            expected=f"{entry.size:,} bytes",
        )
    if verify and _digest(path) != entry.digest:
        raise BundleDamaged(f"The file {entry.path} of the bundle in {folder} has changed.")


def _is_safe(name: str) -> bool:
    """Whether a name can only mean a file of the bundle, on any system."""
    parts = name.split("/")
    return all(
        part not in {"", ".", ".."}
        and len(part.encode(errors="replace")) <= 255
        and not any(c in "\\:" or ord(c) < 32 or "\ud800" <= c <= "\udfff" for c in part)
        for part in parts
    )


def _size(path: Path) -> int:
    return path.stat().st_size


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
