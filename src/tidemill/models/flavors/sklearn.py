"""scikit-learn: saved with skops, converted with skl2onnx and our own converters."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from tidemill.models.errors import BundleDamaged, NotTrusted
from tidemill.models.pickling import pickled, unpickled
from tidemill.models.protocol import Converted, Precision, Saved, Trust
from tidemill.models.records import Label, Signature

if TYPE_CHECKING:
    import polars as pl

TRUSTED = frozenset(
    {
        "functools.partial",  # what it holds is looked at too
        "numpy.dtype",
        "scipy._lib.array_api_compat.numpy._aliases.asarray",
        "scipy.interpolate._bsplines.BSpline",
        "sklearn._loss._loss.CyHalfBinomialLoss",
        "sklearn._loss.link.Interval",
        "sklearn._loss.link.LogitLink",
        "sklearn._loss.loss.HalfBinomialLoss",
        "sklearn._loss.loss.HalfTweedieLoss",
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.feature_selection._univariate_selection.f_classif",
        "sklearn.feature_selection._univariate_selection.f_regression",
        "sklearn.gaussian_process.kernels.ConstantKernel",
        "sklearn.gaussian_process.kernels.Product",
        "sklearn.gaussian_process.kernels.RBF",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.metrics._dist_metrics.ManhattanDistance64",
        "sklearn.metrics._scorer._PassthroughScorer",
        "sklearn.model_selection._split.KFold",
        "sklearn.model_selection._split.StratifiedKFold",
        "sklearn.neighbors._ball_tree.BallTree",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
        "sklearn.tree._tree.Tree",
        "sklearn.utils._bunch.Bunch",
        "sklearn.utils.validation.check_array",
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

    def save(self, model: Any, folder: Path, trust: Trust) -> Saved:
        import skops.io

        path = folder / "model.skops"
        try:
            skops.io.dump(model, path)
            if set(skops.io.get_untrusted_types(file=path)) <= TRUSTED:
                return Saved(path.name, "skops")
        except Exception:  # noqa: S110 - skops raises what it likes; pickle is next
            pass
        path.unlink(missing_ok=True)
        return pickled(model, folder, trust)

    def load(self, folder: Path, saved: Saved, trust: Trust) -> Any:
        if saved.form == "skops":
            import skops.io

            try:
                named = set(skops.io.get_untrusted_types(file=folder / saved.file))
            except Exception as error:  # skops raises what its archive and JSON readers raise
                raise BundleDamaged(
                    f"{saved.file} cannot be read: {error}", expected="a file written by skops"
                ) from error
            if not named <= TRUSTED:
                raise NotTrusted(
                    f"{saved.file} names {sorted(named - TRUSTED)[0]}, which is not trusted.",
                    hint="Train the model again, or serve its ONNX twin.",
                )
            return skops.io.load(folder / saved.file, trusted=sorted(TRUSTED))
        return unpickled(folder / saved.file, trust)

    def convert(self, model: Any, signature: Signature, precision: Precision) -> Converted:
        from tidemill.models.converters.assembly import assemble

        output = "prediction" if signature.task == "regression" else "probabilities"
        return assemble(model, signature, double=precision == "double", output=output)


PLUGIN = SklearnFlavor()
