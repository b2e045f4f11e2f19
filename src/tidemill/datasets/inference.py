"""A first contract from data, meant to be edited by people.

It is cautious on purpose: a rule that the next honest batch breaks teaches people to switch rules
off. Types and roles are taken from the data, and the set of values of the label; ranges are left to
people, since a first day in January says nothing of July.
"""

from __future__ import annotations

import re
from collections.abc import Collection

import polars as pl

from tidemill.core.contract import Column, Contract, Role
from tidemill.core.errors import nearest
from tidemill.datasets.conversion import told_by_text
from tidemill.datasets.errors import BadContract
from tidemill.datasets.frames import column_type

MOST_CLASSES = 50
_FEWEST_NAMED = 20
_LONGEST_NAME = 64
_NAMES = re.compile(r"(^|[\s_.-])(id|key|uuid|guid|no|nr|number)$", re.IGNORECASE)
_CAMEL = re.compile(r"[a-z](Id|ID|Key|No|Nr)$")


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


def likely_time(frame: pl.DataFrame, contract: Contract) -> str | None:
    """Return the column that probably says when a row happened: the only one that says a moment.

    Example:
        >>> rows = pl.DataFrame({"at": ["2026-01-01T05:00", "2026-01-02T07:30"], "late": [0, 1]})
        >>> likely_time(rows, infer(rows, label="late"))
        'at'
    """
    kinds = {"datetime", "date"}
    found = [c.name for c in contract.columns if c.type in kinds and c.role == "ignored"]
    known = [name for name in found if frame.height and not frame[name].null_count()]
    return known[0] if len(found) == len(known) == 1 else None


def likely_key(frame: pl.DataFrame, contract: Contract) -> str | None:
    """Return the column that probably names a row, where one alone does it best.

    It has another value in each row: words without spaces, or whole numbers in a column that is
    called an id or the like.

    Example:
        >>> rows = pl.DataFrame({"order_id": range(30), "n": range(30), "late": [0, 1] * 15})
        >>> likely_key(rows, infer(rows, label="late"))
        'order_id'
    """
    found = [c.name for c in contract.features if _may_name(frame[c.name], c.type)]
    called = [name for name in found if _is_called_so(name)]
    best = called or found
    return best[0] if len(best) == 1 else None


def _may_name(values: pl.Series, kind: str) -> bool:
    if len(values) < _FEWEST_NAMED or values.null_count():
        return False
    if kind == "string":
        said = values.cast(pl.String)
        if said.str.len_chars().max() > _LONGEST_NAME or said.str.contains(r"\s").any():  # type: ignore[operator]
            return False
    elif not (kind == "int" and _is_called_so(values.name)):
        return False
    return values.n_unique() == len(values)


def _is_called_so(name: str) -> bool:
    return bool(_NAMES.search(name) or _CAMEL.search(name))


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
