"""scikit-learn: saved with skops, converted with skl2onnx and our own converters."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tidemill.models.errors import CannotBeSaved, NotTrusted
from tidemill.models.protocol import Converted, Precision, Saved, Trust
from tidemill.models.records import Label, Signature

if TYPE_CHECKING:
    import polars as pl

OPSET = {"": 18, "ai.onnx.ml": 3}
TRUSTED = frozenset(
    {
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "numpy.dtype",
    }
)
"""Types of scikit-learn's own that skops asks about; a file that names others is not trusted."""


class SklearnFlavor:
    """Estimators and pipelines that were fitted on a frame of the features."""

    name = "sklearn"

    def matches(self, model: object) -> bool:
        base = sys.modules.get("sklearn.base")
        return base is not None and isinstance(model, base.BaseEstimator)

    def classes(self, model: Any) -> tuple[Label, ...]:
        return tuple(c.item() if hasattr(c, "item") else c for c in getattr(model, "classes_", ()))

    def predict(self, model: Any, rows: pl.DataFrame, signature: Signature) -> NDArray[np.float64]:
        if signature.task == "regression":
            return np.asarray(model.predict(rows), dtype=np.float64).reshape(-1)
        return np.asarray(model.predict_proba(rows), dtype=np.float64)

    def save(self, model: Any, folder: Path) -> Saved:
        import skops.io

        path = folder / "model.skops"
        try:
            skops.io.dump(model, path)
            if set(skops.io.get_untrusted_types(file=path)) <= TRUSTED:
                return Saved(path.name, "skops")
        except Exception:  # noqa: S110 - skops raises what it likes; pickle is next
            pass
        path.unlink(missing_ok=True)
        return _pickle(model, folder)

    def load(self, folder: Path, saved: Saved, trust: Trust) -> Any:
        if saved.form == "skops":
            import skops.io

            named = set(skops.io.get_untrusted_types(file=folder / saved.file))
            if not named <= TRUSTED:
                raise NotTrusted(
                    f"{saved.file} names {sorted(named - TRUSTED)[0]}, which is not trusted.",
                    hint="Train the model again, or serve its ONNX twin.",
                )
            return skops.io.load(folder / saved.file, trusted=sorted(TRUSTED))
        return unpickle(folder / saved.file, trust)

    def convert(self, model: Any, signature: Signature, precision: Precision) -> Converted:
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType, StringTensorType
        from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

        from tidemill.models.converters import hist_gradient_boosting as boosting

        matrix = _takes_matrix(model, signature)
        number = DoubleTensorType if precision == "double" else FloatTensorType
        if matrix:
            inputs = [("x", number([None, len(signature.features)]))]
        else:
            inputs = [
                (c.name, (StringTensorType if c.type == "string" else number)([None, 1]))
                for c in signature.features
            ]
        ours = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)
        graph = convert_sklearn(
            model,
            initial_types=inputs,
            options=None if signature.task == "regression" else {"zipmap": False},
            target_opset=OPSET,
            custom_conversion_functions=dict.fromkeys(ours, boosting.convert),
            custom_shape_calculators=dict.fromkeys(ours, boosting.shapes),
        )
        return Converted(graph.SerializeToString(), "matrix" if matrix else "columns")


def unpickle(path: Path, trust: Trust) -> Any:
    """Load a pickled model, if the policy trusts this installation's own.

    Raises:
        NotTrusted: The policy forbids it.
    """
    if trust != "own":
        raise NotTrusted(
            f"{path.name} is a pickle, and loading it would run its author's code.",
            expected='trust = "own" in the policy',
            hint="The ONNX twin, where there is one, needs no trust.",
        )
    import cloudpickle

    return cloudpickle.loads(path.read_bytes())


def _pickle(model: object, folder: Path) -> Saved:
    import cloudpickle

    try:
        content = cloudpickle.dumps(model)
    except Exception as error:
        raise CannotBeSaved(
            f"The model, a {type(model).__name__}, cannot be saved: {error}",
            expected="a fitted estimator that can be pickled",
            hint="Open files, locks and database connections cannot travel; remove them.",
        ) from error
    (folder / "model.pickle").write_bytes(content)
    return Saved("model.pickle", "pickle")


def _takes_matrix(model: Any, signature: Signature) -> bool:
    """Whether the model sees the features as one matrix, by position and not by name."""
    if any(c.type == "string" for c in signature.features):
        return False
    return not any(type(s).__name__ == "ColumnTransformer" for s in _parts(model))


def _parts(model: Any) -> list[Any]:
    steps = getattr(model, "steps", None)
    if steps is None:
        return [model]
    return [part for _, step in steps for part in _parts(step)]


PLUGIN = SklearnFlavor()
