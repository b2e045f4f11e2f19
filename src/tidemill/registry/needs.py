"""What versions need that other rooms keep: the files of those that have no bundle of their own."""

from __future__ import annotations

import msgspec
from sqlalchemy import Connection

from tidemill.registry import store


class Needed(msgspec.Struct, frozen=True, kw_only=True):
    """What must not be erased.

    Attributes:
        runs: Whose artifacts are the files of a version.
        models: Logged models whose files are those of a version.
        bundles: Digests of stored bundle folders.
    """

    runs: frozenset[str]
    models: frozenset[str]
    bundles: frozenset[str]


def needed(connection: Connection) -> Needed:
    """Return what all versions need."""
    versions = store.read_versions(connection)
    loose = [version for version in versions if version.bundle is None]
    return Needed(
        runs=frozenset(v.run_id for v in loose if v.run_id and v.model_id is None),
        models=frozenset(v.model_id for v in loose if v.model_id),
        bundles=frozenset(v.bundle for v in versions if v.bundle),
    )
