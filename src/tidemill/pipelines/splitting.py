"""Parts rows into those to learn from and those to judge by."""

from __future__ import annotations

from datetime import datetime, timedelta

import polars as pl

from tidemill.pipelines.errors import BadPipeline
from tidemill.pipelines.recipe import Recipe


def split_by_time(rows: pl.DataFrame, recipe: Recipe) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep the newest rows for judging: those of the last so many seconds, or a share of all.

    Raises:
        BadPipeline: One of the two parts would be left with fewer than two rows.
    """
    moments = rows.select(recipe.moment).to_series()
    until = moments.max()
    assert isinstance(until, datetime)
    border = until - timedelta(seconds=recipe.policy.holdout)
    if 0 < recipe.policy.holdout < 1:  # a share: of the newest rows
        newest = max(int(rows.height * recipe.policy.holdout), 1)
        border = moments.sort()[-newest - 1] if newest < rows.height else border
    old, new = rows.filter(moments <= border), rows.filter(moments > border)
    if recipe.policy.window is not None:
        old = old.filter(recipe.moment > border - timedelta(seconds=recipe.policy.window))
    return _checked(old, new, recipe)


def split_by_chance(rows: pl.DataFrame, recipe: Recipe) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Keep a share of the rows for judging, chosen by what is in a row.

    A row stays on its side when others are added, so that no model ever learns from a row that a
    later one is judged by.

    Raises:
        BadPipeline: The policy's holdout is no share, or one part would have fewer than two rows.
    """
    share = recipe.policy.holdout
    if not 0 < share < 1:
        raise BadPipeline(
            f"The holdout of model {recipe.model!r} is {share:g}, and its dataset has no time "
            "column.",
            expected="a share of the rows between 0 and 1, such as holdout = 0.2",
        )
    chosen = rows.hash_rows(seed=recipe.policy.seed) % 1_000_000 < share * 1_000_000
    return _checked(rows.filter(~chosen), rows.filter(chosen), recipe)


def _checked(
    rows: pl.DataFrame, holdout: pl.DataFrame, recipe: Recipe
) -> tuple[pl.DataFrame, pl.DataFrame]:
    for part, frame in (("to learn from", rows), ("to judge by", holdout)):
        if frame.height < 2:
            raise BadPipeline(
                f"Of {rows.height + holdout.height:,} labelled rows, {frame.height} are left "
                f"{part}.",
                expected="at least two of both",
                hint="Change `holdout` or `window` of the model, or add data.",
            )
    return rows, holdout
