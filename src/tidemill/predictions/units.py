"""Reads off the ids of predictions what belongs together, a column at a time."""

from __future__ import annotations

import polars as pl


def units_of(ids: pl.Series) -> pl.Series:
    """Return what was given to a version as a whole: the key where one was named, or the request.

    Example:
        >>> import random
        >>> from tidemill.predictions.identity import ids_of, request_number
        >>> rng = random.Random(0)
        >>> alone = ids_of(0, 1, request_number(rng, None), 2).split(",")
        >>> one, two = (ids_of(time, 1, request_number(rng, "me"), 1) for time in (0, 9000))
        >>> units = units_of(pl.Series([*alone, one, two]))
        >>> units[0] == units[1], units[2] == units[3], units.n_unique()
        (True, True, 2)
    """
    keyed = ids.str.slice(16, 1).is_in(["a", "b"])
    frame = pl.DataFrame({"keyed": keyed, "key": ids.str.slice(16, 7), "request": requests_of(ids)})
    unit = pl.when(pl.col("keyed")).then(pl.col("key")).otherwise(pl.col("request"))
    return frame.select(unit.alias("unit"))["unit"]


def requests_of(ids: pl.Series) -> pl.Series:
    """Return what the rows of one version's answer to one request share."""
    return ids.str.slice(0, 27)


def pairs_of(ids: pl.Series) -> pl.Series:
    """Return what the answers of several versions to one row share.

    Example:
        >>> import random
        >>> from tidemill.predictions.identity import ids_of, request_number
        >>> number = request_number(random.Random(0), None)
        >>> answers = [ids_of(0, version, number, 3) for version in (1, 2)]
        >>> said, mirrored = (pl.Series(ids.split(",")) for ids in answers)
        >>> (pairs_of(said) == pairs_of(mirrored)).all(), pairs_of(said).n_unique()
        (True, 3)
    """
    return ids.str.slice(0, 13) + ids.str.slice(16)
