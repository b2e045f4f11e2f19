"""Bundles as folders of artifacts that can be read and never written."""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

from tidemill.core.errors import nearest
from tidemill.server.mlflow.errors import BadRequest
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.trees import read_tree
from tidemill.tracking.errors import ArtifactNotFound
from tidemill.tracking.records import Artifact


class Bundles:
    """The files of bundles, by the digest of the bundle.

    Args:
        blobs: Where bundles lie.
    """

    def __init__(self, blobs: BlobStore) -> None:
        self._blobs = blobs

    def artifacts(self, owner: str, prefix: str = "") -> list[Artifact]:
        """Return a bundle's files below a path."""
        folder = f"{prefix.rstrip('/')}/" if prefix else ""
        return [
            Artifact(path=entry.path, digest=entry.digest, size=entry.size)
            for entry in read_tree(self._blobs, owner)
            if entry.path.startswith(folder) or entry.path == prefix
        ]

    def artifact(self, owner: str, path: str) -> Artifact:
        """Return what is known of one file.

        Raises:
            ArtifactNotFound: The bundle has none of that path.
        """
        known = self.artifacts(owner)
        for artifact in known:
            if artifact.path == path:
                return artifact
        raise ArtifactNotFound(
            f"Bundle {owner[:12]} has no file {path!r}.",
            expected=nearest(path, [a.path for a in known]),
        )

    def open_artifact(self, owner: str, path: str) -> BinaryIO:
        """Open a file for reading.

        Raises:
            ArtifactNotFound: The bundle has none of that path.
        """
        return self._blobs.open(self.artifact(owner, path).digest)

    def log_artifact(self, owner: str, path: str, source: bytes | BinaryIO | Path) -> Artifact:
        """Refuse: a bundle is what its digest says.

        Raises:
            BadRequest: Always.
        """
        raise BadRequest(f"{path!r} cannot be written: the bundle {owner[:12]} never changes.")

    def delete_artifacts(self, owner: str, path: str) -> int:
        """Refuse: a bundle is what its digest says.

        Raises:
            BadRequest: Always.
        """
        raise BadRequest(f"{path!r} cannot be deleted: the bundle {owner[:12]} never changes.")
