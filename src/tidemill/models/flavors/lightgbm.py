"""LightGBM: estimators and boosters, saved as its own text, converted tree by tree."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tidemill.models.errors import BundleDamaged
from tidemill.models.protocol import Converted, Precision, Saved, Trust
from tidemill.models.records import Label, Signature

if TYPE_CHECKING:
    import polars as pl

FILE = "model.lightgbm.txt"


class LightgbmFlavor:
    """`LGBMClassifier`, `LGBMRegressor`, and a `Booster`; what comes back is the booster."""

    name = "lightgbm"

    def matches(self, model: object) -> bool:
        lightgbm = sys.modules.get("lightgbm")
        return lightgbm is not None and type(model) in {
            lightgbm.LGBMClassifier,
            lightgbm.LGBMRegressor,
            lightgbm.Booster,
        }

    def classes(self, model: Any) -> tuple[Label, ...]:
        if hasattr(model, "classes_"):
            return tuple(c.item() if hasattr(c, "item") else c for c in model.classes_)
        return tuple(range(max(model.num_model_per_iteration(), 2)))

    def predict(self, model: Any, rows: pl.DataFrame, signature: Signature) -> NDArray[np.float64]:
        booster = getattr(model, "booster_", model)
        answer = np.asarray(
            booster.predict(_matrix(rows, booster.feature_name())), dtype=np.float64
        )
        if signature.task == "regression":
            return answer.reshape(-1)
        return answer if answer.ndim == 2 else np.column_stack([1.0 - answer, answer])

    def save(self, model: Any, folder: Path, trust: Trust) -> Saved:
        (folder / FILE).write_text(getattr(model, "booster_", model).model_to_string())
        return Saved(FILE, "native")

    def load(self, folder: Path, saved: Saved, trust: Trust) -> Any:
        import lightgbm

        text = (folder / saved.file).read_text(errors="replace")
        if not text.startswith("tree\n"):
            raise BundleDamaged(f"{saved.file} is no model of LightGBM.")
        try:
            return lightgbm.Booster(model_str=text)
        except lightgbm.basic.LightGBMError as error:
            raise BundleDamaged(f"{saved.file} cannot be read: {error}") from error

    def convert(self, model: Any, signature: Signature, precision: Precision) -> Converted:
        from tidemill.models.converters.assembly import assemble

        output = "prediction" if signature.task == "regression" else "probabilities"
        return assemble(model, signature, double=precision == "double", output=output)


def _matrix(rows: pl.DataFrame, names: list[str]) -> NDArray[np.float64]:
    """Put the columns into the order of the training, where their names are known."""
    known = rows.select(names) if set(names) <= set(rows.columns) else rows
    return np.asarray(known.to_numpy(), dtype=np.float64)


PLUGIN = LightgbmFlavor()
