"""Loads originals by policy, and answers with them where a model has no twin."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tidemill.core.contract import Column
from tidemill.models.bundle import open_bundle
from tidemill.models.errors import BundleDamaged, InvalidInput
from tidemill.models.inputs import Columns, Encoder
from tidemill.models.packing import FLAVORS
from tidemill.models.protocol import Flavor, Saved, Trust
from tidemill.models.records import Manifest
from tidemill.models.session import OnnxModel, Prediction, read_answer
from tidemill.models.signing import PublicKey, verify_bundle

_TYPES: dict[str, Any] = {
    "bool": pl.Boolean,
    "int": pl.Int64,
    "float": pl.Float64,
    "string": pl.String,
    "datetime": pl.Datetime("us"),
    "date": pl.Date,
}


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
        NotTrusted: Loading it would run code that the policy does not trust.
    """
    manifest = open_bundle(folder)
    if manifest.original is None or manifest.saved_as is None:
        raise BundleDamaged(f"The bundle of {manifest.name!r} has no original, only its twin.")
    if trust == "signed" and manifest.saved_as == "pickle":
        verify_bundle(folder, keys)
        trust = "own"
    flavor: Flavor = FLAVORS.load(manifest.flavor)
    saved = Saved(manifest.original, manifest.saved_as)
    return manifest, flavor, flavor.load(folder, saved, trust)


class OriginalModel:
    """A bundle's original behind the same door as its twin; slow, and no part of the data plane.

    Args:
        folder: The bundle.
        trust: See `load_original`.
        keys: Whose signatures count.
        refuse_out_of_contract: Whether values outside the contract are refused.
    """

    def __init__(
        self,
        folder: Path,
        *,
        trust: Trust,
        keys: Sequence[PublicKey] = (),
        refuse_out_of_contract: bool = True,
    ) -> None:
        self.manifest, self._flavor, self._model = load_original(folder, trust=trust, keys=keys)
        self.signature = self.manifest.signature
        self.encoder = Encoder(self.signature, refuse_out_of_contract=refuse_out_of_contract)
        self._read = read_answer(self.signature)

    def predict(self, columns: Columns) -> Prediction:
        """Answer for the rows of a request.

        Raises:
            InvalidInput: The columns do not fit the signature.
        """
        self.encoder.encode(columns)
        rows = pl.DataFrame([_series(c, columns[c.name]) for c in self.signature.features])
        return self._read(np.asarray(self._flavor.predict(self._model, rows, self.signature)))


def open_model(
    folder: Path,
    *,
    trust: Trust,
    keys: Sequence[PublicKey] = (),
    threads: int = 1,
    refuse_out_of_contract: bool = True,
) -> OnnxModel | OriginalModel:
    """Open a bundle by its twin where it has one, else by its original."""
    if open_bundle(folder, verify=False).twin is not None:
        return OnnxModel(folder, threads=threads, refuse_out_of_contract=refuse_out_of_contract)
    return OriginalModel(
        folder, trust=trust, keys=keys, refuse_out_of_contract=refuse_out_of_contract
    )


def _series(column: Column, values: Any) -> pl.Series:
    try:
        series = pl.Series(column.name, values)
        if column.type in {"datetime", "date"} and series.dtype == pl.String:
            moments = series.str.to_datetime(time_unit="us", time_zone="UTC")
            return moments.dt.replace_time_zone(None).cast(_TYPES[column.type])
        return (series.fill_nan(None) if series.dtype.is_float() else series).cast(
            _TYPES[column.type]
        )
    except (pl.exceptions.PolarsError, TypeError) as error:
        raise InvalidInput(
            f"Column {column.name!r} cannot be read.", column=column.name, expected=column.type
        ) from error
