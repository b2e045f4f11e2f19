"""Labels and the predictions that they are about: a pure function of the two tables.

A label is about the prediction of its id, or about all predictions of its key. Of several the last
to arrive counts, whatever order they are read in; of two that arrive together the one by id, then
the one that stands later. So early, late, repeated and corrected labels need no care.
"""

from __future__ import annotations

import polars as pl

LABELS = ("label", "label_time", "label_arrival", "label_count")
"""What `labelled` adds: the label that counts, when it came true and when it was told, and how many
were told."""
_ORDER = ("arrival", "segment", "position", "row")


def labelled(predictions: pl.LazyFrame, labels: pl.DataFrame) -> pl.LazyFrame:
    """Return predictions with the labels that are about them.

    Args:
        predictions: With `id` and `key`.
        labels: As the log has them.
    """
    if labels.is_empty():
        moment = pl.Datetime("us", "UTC")
        return predictions.with_columns(
            label=pl.lit(None),
            label_time=pl.lit(None, moment),
            label_arrival=pl.lit(None, moment),
            label_count=pl.lit(0, pl.UInt32),
        )
    by_id = _last(labels, "prediction_id", "id")
    by_key = _last(labels, "key", "key")
    joined = predictions.join(by_id, on="id", how="left").join(
        by_key, on="key", how="left", suffix="_by_key"
    )
    newer = pl.col("label_arrival_by_key") > pl.col("label_arrival")
    from_key = pl.col("label_arrival").is_null() | newer.fill_null(value=False)
    chosen = [
        pl.when(from_key).then(pl.col(f"{name}_by_key")).otherwise(pl.col(name)).alias(name)
        for name in LABELS[:3]
    ]
    counts = [pl.col(name).fill_null(0) for name in ("label_count", "label_count_by_key")]
    return joined.with_columns(*chosen, label_count=counts[0] + counts[1]).drop(
        f"{name}_by_key" for name in LABELS
    )


def history(labels: pl.DataFrame, identifier: str, key: str | None) -> pl.DataFrame:
    """Return all labels of a prediction, in the order of their arrival."""
    mine = (pl.col("prediction_id") == identifier).fill_null(value=False)
    if key is not None:
        mine |= ((pl.col("key") == key) & pl.col("prediction_id").is_null()).fill_null(value=False)
    return labels.filter(mine).sort(_ORDER)


def unmatched(labels: pl.DataFrame, ids: pl.Series, keys: pl.Series) -> pl.DataFrame:
    """Return the labels whose predictions the log does not have (yet)."""
    by_id = pl.col("prediction_id").is_not_null()
    known = (by_id & pl.col("prediction_id").is_in(ids.implode())) | (
        ~by_id & pl.col("key").is_in(keys.drop_nulls().unique().implode())
    )
    return labels.filter(~known.fill_null(value=False))


def _last(labels: pl.DataFrame, column: str, name: str) -> pl.LazyFrame:
    """Return the last label to arrive for each name."""
    mine = pl.col(column).is_not_null()
    if column == "key":
        mine &= pl.col("prediction_id").is_null()
    return (
        labels.lazy()
        .filter(mine)
        .sort(_ORDER)
        .group_by(pl.col(column).alias(name), maintain_order=True)
        .agg(
            label=pl.col("label").last(),
            label_time=pl.col("time").last(),
            label_arrival=pl.col("arrival").last(),
            label_count=pl.len(),
        )
    )
