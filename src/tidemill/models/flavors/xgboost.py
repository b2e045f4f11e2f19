"""XGBoost: estimators and boosters, saved in its own binary JSON, converted tree by tree."""

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

_KINDS = ("XGBClassifier", "XGBRegressor", "XGBRFClassifier", "XGBRFRegressor", "Booster")


class XgboostFlavor:
    """`XGBClassifier` and its siblings, and a `Booster` trained on numbers."""

    name = "xgboost"

    def matches(self, model: object) -> bool:
        xgboost = sys.modules.get("xgboost")
        return xgboost is not None and type(model) in {getattr(xgboost, k) for k in _KINDS}

    def classes(self, model: Any) -> tuple[Label, ...]:
        if hasattr(model, "classes_"):
            return tuple(c.item() for c in model.classes_)
        config = model.save_config()
        text = config.partition('"num_class":"')[2].partition('"')[0]
        return tuple(range(max(int(text or 0), 2)))

    def predict(self, model: Any, rows: pl.DataFrame, signature: Signature) -> NDArray[np.float64]:
        if hasattr(model, "get_booster"):
            verb = model.predict if signature.task == "regression" else model.predict_proba
            answer = np.asarray(verb(rows), dtype=np.float64)
        else:
            answer = _ask_booster(model, rows)
        if signature.task == "regression":
            return answer.reshape(-1)
        return answer if answer.ndim == 2 else np.column_stack([1.0 - answer, answer])

    def save(self, model: Any, folder: Path, trust: Trust) -> Saved:
        path = folder / f"{type(model).__name__}.ubj"
        try:
            model.save_model(path)
        except Exception as error:  # XGBoost's errors share no base but this
            raise CannotBeSaved(
                f"The model, a {type(model).__name__}, cannot be saved: {error}",
                expected="a fitted XGBoost model",
            ) from error
        return Saved(path.name, "native")

    def load(self, folder: Path, saved: Saved, trust: Trust) -> Any:
        import xgboost

        kind = saved.file.removesuffix(".ubj")
        if kind not in _KINDS:
            raise BundleDamaged(f"{saved.file} is no XGBoost model by its name.")
        model = getattr(xgboost, kind)()
        try:
            model.load_model(folder / saved.file)
        except Exception as error:  # XGBoost's errors share no base but this
            raise BundleDamaged(f"{saved.file} cannot be read: {error}") from error
        return model

    def convert(self, model: Any, signature: Signature, precision: Precision) -> Converted:
        from tidemill.models.converters.assembly import assemble

        output = "prediction" if signature.task == "regression" else "probabilities"
        return assemble(model, signature, double=precision == "double", output=output)


def _ask_booster(model: Any, rows: pl.DataFrame) -> NDArray[np.float64]:
    import xgboost

    names = model.feature_names
    matrix = np.asarray((rows.select(names) if names else rows).to_numpy(), dtype=np.float64)
    answer = model.predict(xgboost.DMatrix(matrix, feature_names=names))
    return np.asarray(answer, dtype=np.float64)


PLUGIN = XgboostFlavor()
