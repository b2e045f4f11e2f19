"""The rows that a version's window is compared with, from its bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from tidemill.models.bundle import REFERENCE, open_bundle
from tidemill.models.records import Manifest, Signature


class Reference(msgspec.Struct, frozen=True):
    """What was usual when a version was made.

    Attributes:
        signature: Of the version.
        rows: Features, label, `split` (`train` or `holdout`), and on held-out rows `prediction`
            and `score`.
        label: The label's column.
        time: The time column, where there is one.
        metrics: The version's metrics on the held-out rows.
        bundle: Where the version lies, so that its twin can be asked; nothing where it cannot.
    """

    signature: Signature
    rows: pl.DataFrame
    label: str
    time: str | None
    metrics: dict[str, float]
    bundle: Path | None = None

    @property
    def holdout(self) -> pl.DataFrame:
        """The rows that carry what the model said of them without having seen them."""
        return self.rows.filter(pl.col("split") == "holdout")


def read_reference(bundle: Path, metrics: dict[str, float]) -> Reference | None:
    """Read a bundle's reference, or nothing where it has none."""
    if not (bundle / REFERENCE).exists():
        return None
    manifest: Manifest = open_bundle(bundle, verify=False)
    label = manifest.contract.label
    time = manifest.contract.time
    if label is None:
        return None
    return Reference(
        manifest.signature,
        pl.read_parquet(bundle / REFERENCE),
        label.name,
        None if time is None else time.name,
        metrics,
        bundle,
    )


def blocks_of(times: pl.Series, seconds: float) -> pl.Series:
    """Return the number of the block of time in which each moment lies.

    Args:
        times: Moments, or microseconds since 1970.
        seconds: The length of a block.
    """
    whole: Any = times
    if not times.dtype.is_integer():
        whole = times.dt.epoch("us")
    return pl.Series("block", whole) // int(seconds * 1_000_000)
