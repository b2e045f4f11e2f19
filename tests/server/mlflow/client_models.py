"""Logs and registers models with MLflow's own client, each with a signature and a few rows.

Run as: client_models.py ADDRESS.
"""

from __future__ import annotations

import logging
import sys
from importlib.metadata import version

import mlflow
import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from xgboost import XGBRegressor

REQUIREMENTS = [
    f"{name}=={version(name)}"
    for name in ("mlflow-skinny", "cloudpickle", "numpy", "pandas", "scikit-learn", "xgboost-cpu")
]
"""Of all but one, for which MLflow finds out itself: that takes it long."""


class Doubled(mlflow.pyfunc.PythonModel):
    """Any function at all."""

    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        return model_input["a"] * 2 + model_input["when"].dt.hour


def main(address: str) -> None:
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    mlflow.set_experiment("models")
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    rng = np.random.default_rng(7)
    x = pd.DataFrame(rng.normal(size=(200, 2)), columns=["a", "b"])
    labels = np.where(x.a + 0.3 * x.b > 0, "late", "on time")
    linear = make_pipeline(StandardScaler(), LogisticRegression()).fit(x, labels)
    sign = mlflow.models.infer_signature
    mlflow.sklearn.log_model(
        linear,
        name="linear",
        signature=sign(x, linear.predict(x)),
        input_example=x.head(5),
        registered_model_name="linear",
    )
    trees = XGBRegressor(n_estimators=4, max_depth=2, n_jobs=1).fit(x, x.a)
    mlflow.xgboost.log_model(
        trees,
        name="trees",
        signature=sign(x, trees.predict(x)),
        input_example=x.head(5),
        registered_model_name="trees",
        pip_requirements=REQUIREMENTS,
    )
    moments = x.assign(when=pd.date_range("2013-02-01 06:30", periods=200, freq="h"))
    mlflow.pyfunc.log_model(
        name="doubled",
        python_model=Doubled(),
        signature=sign(moments, x.a),
        registered_model_name="doubled",
        pip_requirements=REQUIREMENTS,
    )
    mlflow.sklearn.log_model(
        linear, name="bare", registered_model_name="bare", pip_requirements=REQUIREMENTS
    )
    print("all done", *linear.predict_proba(x.head(3))[:, 1], *trees.predict(x.head(3)))


if __name__ == "__main__":
    main(sys.argv[1])
