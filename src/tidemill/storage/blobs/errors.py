"""What can go wrong with blobs."""

from __future__ import annotations

from tidemill.core.errors import InvalidData, NotFound, OutOfSpace, TidemillError


class BlobsError(TidemillError):
    """The branch of everything that goes wrong with blobs."""


class BlobNotFound(BlobsError, NotFound):
    """No blob has that digest."""


class FolderNotFound(BlobsError, NotFound):
    """The folder that was to be stored is not there."""


class BlobDamaged(BlobsError, InvalidData):
    """A blob's bytes are no longer those that its name promises."""


class UnsafeName(BlobsError, InvalidData):
    """A path inside a stored folder would leave it, or cannot be a file name everywhere."""


class NoSpaceForBlobs(BlobsError, OutOfSpace):
    """The disk is nearly full, and the rest is kept for metadata."""
