"""A first contract from data, meant to be edited by people.

It is cautious on purpose: a rule that the next honest batch breaks teaches people to switch rules
off. Types and roles are taken from the data, and the set of values of the label; ranges are left to
people, since a first day in January says nothing of July.
"""

from __future__ import annotations

from collections.abc import Collection

import polars as pl

from tidemill.core.contract import Column, Contract, Role
from tidemill.core.errors import nearest
from tidemill.datasets.conversion import told_by_text
from tidemill.datasets.errors import BadContract
from tidemill.datasets.frames import column_type

MOST_CLASSES = 50


def infer(
    frame: pl.DataFrame,
    *,
    label: str | None = None,
    time: str | None = None,
    key: str | None = None,
    ignore: Collection[str] = (),
) -> Contract:
    """Return a contract that the frame keeps.

    Args:
        frame: Rows to learn from.
        label: The column to predict.
        time: The column that says when a row happened.
        key: The column that names a row.
        ignore: Columns that never reach the model.

    Raises:
        BadContract: A named column is not in the frame.

    Example:
        >>> rows = pl.DataFrame({"id": ["a", "b"], "temp": [3.5, 7.0], "late": [True, False]})
        >>> [f"{c.name}: {c.role}" for c in infer(rows, label="late", key="id").columns]
        ['id: key', 'temp: feature', 'late: label']
    """
    roles: dict[str, Role] = dict.fromkeys(ignore, "ignored")
    named: tuple[tuple[str | None, Role], ...] = ((label, "label"), (time, "time"), (key, "key"))
    roles.update({name: role for name, role in named if name is not None})
    for name, role in roles.items():
        if name not in frame.columns:
            raise BadContract(
                f"The data have no column {name!r}, which is to be the {role}.",
                expected=nearest(name, frame.columns),
            )
    return Contract(columns=tuple(_column(frame[name], roles) for name in frame.columns))


def _column(values: pl.Series, roles: dict[str, Role]) -> Column:
    kind = column_type(values.dtype)
    if isinstance(values.dtype, pl.String):
        kind = told_by_text(values)
    role = roles.get(values.name, "feature")
    if kind is None or (role == "feature" and kind in {"datetime", "date"}):
        role, kind = "ignored", kind or "string"
    return Column(
        name=values.name,
        type=kind,
        role=role,
        nullable=role in {"feature", "ignored"} or values.null_count() > 0,
        values=_classes(values) if role == "label" and kind in {"string", "bool"} else None,
    )


def _classes(values: pl.Series) -> tuple[bool | int | str, ...] | None:
    classes = values.drop_nulls().unique().sort()
    return tuple(classes.to_list()) if 0 < len(classes) <= MOST_CLASSES else None
