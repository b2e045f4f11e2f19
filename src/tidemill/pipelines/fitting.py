"""Calls the user's training function, and says in his words what is wrong with it."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from typing import Any

import polars as pl

from tidemill.core.errors import TidemillError, UserCodeFailed, nearest
from tidemill.pipelines.errors import PipelinesError
from tidemill.pipelines.recipe import Recipe


class TrainingFailed(PipelinesError, UserCodeFailed):
    """The user's training function cannot be found, raised, or gave back nothing."""


def fitted(recipe: Recipe, rows: pl.DataFrame) -> Any:
    """Return what the user's function makes of rows.

    Raises:
        TrainingFailed: It cannot be found, raised, or gave back nothing.
    """
    function = _training_function(recipe.policy.train)
    names = [c.name for c in recipe.contract.features] + [recipe.label]
    offered = {"seed": recipe.policy.seed, **recipe.policy.params}
    accepted = inspect.signature(function).parameters
    takes_all = any(p.kind is p.VAR_KEYWORD for p in accepted.values())
    for name in recipe.policy.params:
        if name not in accepted and not takes_all:
            raise TrainingFailed(
                f"{recipe.policy.train} takes no argument {name!r}, which `params` names.",
                expected=nearest(name, list(accepted)),
            )
    chosen = {k: v for k, v in offered.items() if takes_all or k in accepted}
    try:
        model = function(rows.select(names), **chosen)
    except TidemillError:
        raise
    except Exception as error:
        import traceback

        traceback.print_exc()
        raise TrainingFailed(
            f"{recipe.policy.train} raised {type(error).__name__}: {error}",
            expected="a fitted model to be returned",
            hint="The traceback is in the log of the step.",
        ) from error
    if model is None:
        raise TrainingFailed(
            f"{recipe.policy.train} returned nothing (None).",
            expected="the fitted model",
            hint="End the function with `return model`.",
        )
    return model


def _training_function(name: str) -> Callable[..., Any]:
    module, _, function = name.partition(":")
    try:
        found = getattr(importlib.import_module(module), function or "fit")
    except ModuleNotFoundError as error:
        raise TrainingFailed(
            f"The training function {name!r} cannot be found: {error}.",
            expected="MODULE:FUNCTION, the module beside tidemill.toml",
        ) from error
    except AttributeError as error:
        known = [n for n in dir(importlib.import_module(module)) if not n.startswith("_")]
        raise TrainingFailed(
            f"The module {module!r} has no {function!r}.", expected=nearest(function, known)
        ) from error
    except Exception as error:
        import traceback

        traceback.print_exc()
        raise TrainingFailed(
            f"The module {module!r} cannot be imported: {type(error).__name__}: {error}",
            hint="The traceback is in the log of the step.",
        ) from error
    assert callable(found)
    return found  # type: ignore[no-any-return]
