"""Tells how the columns of two versions differ."""

from __future__ import annotations

from collections.abc import Sequence

from tidemill.datasets.records import ColumnChange, ColumnProfile


def column_changes(
    before: Sequence[ColumnProfile], after: Sequence[ColumnProfile]
) -> list[ColumnChange]:
    """Return what was added, removed, and changed in type or in statistics."""
    old, new = {p.name: p for p in before}, {p.name: p for p in after}
    changes = [
        ColumnChange(column=n, change="added", before="", after=p.type)
        for n, p in new.items()
        if n not in old
    ]
    for name, past in old.items():
        now = new.get(name)
        if now is None:
            changes.append(ColumnChange(column=name, change="removed", before=past.type, after=""))
        elif now.type != past.type:
            changes.append(
                ColumnChange(column=name, change="type", before=past.type, after=now.type)
            )
        elif (said := _said(past)) != (says := _said(now)):
            changes.append(ColumnChange(column=name, change="statistics", before=said, after=says))
    return changes


def _said(profile_: ColumnProfile) -> str:
    mean = "" if profile_.mean is None else f"mean {profile_.mean:.4g}, "
    return f"{mean}{profile_.missing:.1%} missing"
