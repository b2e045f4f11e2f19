"""CatBoost: estimators, saved in its own binary form, converted tree by tree.

A model that was trained on categories looks statistics of them up in tables that only CatBoost
has; it has no twin, and answers from a process of its own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tidemill.models.errors import BundleDamaged, CannotBeSaved
from tidemill.models.protocol import Converted, Precision, Saved, Trust
from tidemill.models.records import Label, Signature

if TYPE_CHECKING:
    import polars as pl

_KINDS = ("CatBoost", "CatBoostClassifier", "CatBoostRegressor")


class CatboostFlavor:
    """`CatBoostClassifier`, `CatBoostRegressor`, and a plain `CatBoost`."""

    name = "catboost"

    def matches(self, model: object) -> bool:
        catboost = sys.modules.get("catboost")
        return catboost is not None and type(model) in {getattr(catboost, k) for k in _KINDS}

    def classes(self, model: Any) -> tuple[Label, ...]:
        return tuple(c.item() if hasattr(c, "item") else c for c in model.classes_)

    def predict(self, model: Any, rows: pl.DataFrame, signature: Signature) -> NDArray[np.float64]:
        names = [n for n in model.feature_names_ if n in rows.columns]
        known = rows.select(names) if len(names) == len(rows.columns) else rows
        if model.get_cat_feature_indices():
            asked: Any = [list(row) for row in known.rows()]
        else:
            asked = np.asarray(known.to_numpy(), dtype=np.float64)
        if signature.task == "regression":
            return np.asarray(model.predict(asked), dtype=np.float64).reshape(-1)
        said = model.predict(asked, prediction_type="Probability")
        return np.asarray(said, dtype=np.float64)

    def save(self, model: Any, folder: Path, trust: Trust) -> Saved:
        path = folder / f"{type(model).__name__}.cbm"
        try:
            model.save_model(str(path))
        except Exception as error:  # CatBoost's errors share no base but this
            raise CannotBeSaved(
                f"The model, a {type(model).__name__}, cannot be saved: {error}",
                expected="a fitted CatBoost model",
            ) from error
        return Saved(path.name, "native")

    def load(self, folder: Path, saved: Saved, trust: Trust) -> Any:
        import catboost

        kind = saved.file.removesuffix(".cbm")
        if kind not in _KINDS:
            raise BundleDamaged(f"{saved.file} is no CatBoost model by its name.")
        try:
            return getattr(catboost, kind)().load_model(str(folder / saved.file))
        except Exception as error:  # CatBoost's errors share no base but this
            raise BundleDamaged(f"{saved.file} cannot be read: {error}") from error

    def convert(self, model: Any, signature: Signature, precision: Precision) -> Converted:
        from tidemill.models.converters.assembly import assemble

        output = "prediction" if signature.task == "regression" else "probabilities"
        return assemble(model, signature, double=precision == "double", output=output)


PLUGIN = CatboostFlavor()
