"""Loads originals by policy, into this process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tidemill.models.bundle import open_bundle
from tidemill.models.errors import BundleDamaged, NotTrusted
from tidemill.models.packing import FLAVORS
from tidemill.models.protocol import Flavor, Saved, Trust
from tidemill.models.records import Manifest
from tidemill.models.signing import PublicKey, verify_bundle


def load_original(
    folder: Path, *, trust: Trust, keys: Sequence[PublicKey] = ()
) -> tuple[Manifest, Flavor, Any]:
    """Return a bundle's manifest, its flavor, and the model as it was trained.

    Args:
        folder: The bundle.
        trust: `own` vouches for the bundle, `signed` demands a signature before anything is
            unpickled, `never` unpickles nothing. Formats that run no code need no trust.
        keys: Whose signatures count.

    Raises:
        BundleDamaged: A file is not the one that the manifest names, or there is no original.
        NotSigned: The policy demands a signature, and there is no valid one.
        NotTrusted: Loading it would run code that the policy does not trust, or that belongs into
            an environment of its own.
    """
    manifest = open_bundle(folder)
    if manifest.original is None or manifest.saved_as is None:
        raise BundleDamaged(f"The bundle of {manifest.name!r} has no original, only its twin.")
    if manifest.saved_as == "mlflow":
        raise NotTrusted(
            f"The model {manifest.name!r} came through MLflow, and is loaded in processes of its"
            " own only.",
            hint="Serve it with: tidemill deploy MODEL@VERSION",
        )
    if trust == "signed" and manifest.saved_as == "pickle":
        verify_bundle(folder, keys)
        trust = "own"
    flavor: Flavor = FLAVORS.load(manifest.flavor)
    saved = Saved(manifest.original, manifest.saved_as)
    return manifest, flavor, flavor.load(folder, saved, trust)
