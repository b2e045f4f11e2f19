"""Tidemill: the closed loop for models in production.

The names that users write (`tm.step`, `tm.log_metric`, …) are imported when they are first used, so
that `import tidemill` costs next to nothing. `__init__.pyi` says the same to type checkers.
"""

import importlib

__version__ = "0.1.0"

_PUBLIC = {
    "active_run": "tidemill.sdk.fluent",
    "compare": "tidemill.monitoring.comparison",
    "deploy": "tidemill.sdk.traffic",
    "end_run": "tidemill.sdk.fluent",
    "get_run": "tidemill.sdk.fluent",
    "log_artifact": "tidemill.sdk.files",
    "log_artifacts": "tidemill.sdk.files",
    "log_dict": "tidemill.sdk.files",
    "log_figure": "tidemill.sdk.files",
    "log_labels": "tidemill.sdk.letterbox",
    "log_metric": "tidemill.sdk.fluent",
    "log_metrics": "tidemill.sdk.fluent",
    "log_param": "tidemill.sdk.fluent",
    "log_params": "tidemill.sdk.fluent",
    "log_text": "tidemill.sdk.files",
    "pipeline": "tidemill.pipelines.steps",
    "prepare": "tidemill.monitoring.comparison",
    "promote": "tidemill.sdk.traffic",
    "rollback": "tidemill.sdk.traffic",
    "read_predictions": "tidemill.sdk.letterbox",
    "search_runs": "tidemill.sdk.fluent",
    "set_experiment": "tidemill.sdk.fluent",
    "set_tag": "tidemill.sdk.fluent",
    "set_tags": "tidemill.sdk.fluent",
    "start_run": "tidemill.sdk.fluent",
    "step": "tidemill.pipelines.steps",
}

__all__ = ["__version__", *_PUBLIC]  # noqa: PLE0604 - the stub spells the names out


def __getattr__(name: str) -> object:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'tidemill' has no attribute {name!r}")
    value: object = getattr(importlib.import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
