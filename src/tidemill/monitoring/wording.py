"""How findings are said."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tidemill.core.tasks import LOWER_IS_BETTER
from tidemill.monitoring.records import Cause, ColumnDrift, Explanation, SegmentQuality

MOST_NAMED = 3
_LEAST_SHARE = 0.05
_LEAST_TOLD = 0.1
"""The least share of a change that is worth telling."""


def movement(column: ColumnDrift) -> str:
    """Say how a column moved: by its typical value, or by what is missing where that grew."""
    grown = column.missing - column.missing_reference
    if grown >= 0.5 * column.effect and column.missing < 1.0:
        return f"`{column.column}` missing {column.missing_reference:.0%} → {column.missing:.0%}"
    return f"`{column.column}` {column.reference} → {column.current}"


def explanation_of(explanation: Explanation, telling: Sequence[Cause]) -> str:
    """Say what a change is made of.

    Args:
        explanation: The whole of it.
        telling: The causes that are worth telling.

    Example:
        >>> told = Explanation(metric="recall", usual=0.48, realised=0.12, inputs=0.7, relation=0.3,
        ...                    effective=400.0, causes=())
        >>> explanation_of(told, [Cause(column="temp", shift=-0.2, share=0.5),
        ...                       Cause(column="dep_hour", shift=-0.1, share=0.2)])
        '; 70% of it is explained by `temp` and `dep_hour`, 30% by no shift'
    """
    if explanation.note:
        return "; its cause cannot be judged"
    told = _explained(explanation, telling)
    if told < _LEAST_TOLD:
        return "; no shift of a column explains it"
    said = f"; {min(told, 1.0):.0%} of it is explained by {listed([c.column for c in telling])}"
    if explanation.relation >= _LEAST_TOLD:
        said += f", {min(explanation.relation, 1.0):.0%} by no shift"
    return said


def worth_telling(explanation: Explanation) -> tuple[Cause, ...]:
    """Return the causes that are worth telling: none where together they explain next to nothing.

    Example:
        >>> causes = (Cause(column="wind", shift=-0.02, share=0.4),)
        >>> told = Explanation(metric="roc_auc", usual=0.7, realised=0.6, inputs=-0.3, relation=1.3,
        ...                    effective=400.0, causes=causes)
        >>> worth_telling(told)
        ()
    """
    telling = tuple(c for c in explanation.causes if c.share > _LEAST_SHARE)[:MOST_NAMED]
    return telling if _explained(explanation, telling) >= _LEAST_TOLD else ()


def _explained(explanation: Explanation, telling: Sequence[Cause]) -> float:
    # What some columns explain, others may take back: together they explain no more than all do.
    return min(sum(c.share for c in telling), explanation.inputs)


def hardest_of(segment: SegmentQuality | None, metric: str) -> str:
    """Say which segment is hit hardest."""
    if segment is None:
        return ""
    usual, value = segment.reference[metric], segment.metrics[metric]
    return f"; `{segment.column}` {segment.value} is hit hardest ({usual:.3f} → {value:.3f})"


def listed(names: Sequence[str]) -> str:
    """Say names in a row.

    Example:
        >>> listed(["a", "b", "c"])
        '`a`, `b` and `c`'
    """
    quoted = [f"`{n}`" for n in names]
    return " and ".join([p for p in (", ".join(quoted[:-1]), *quoted[-1:]) if p])


def foremost(words: Sequence[str]) -> str:
    """Say the first few of several things, and how many more there are.

    Example:
        >>> foremost(["a", "b", "c", "d", "e"])
        'a; b; c; and 2 more'
    """
    more = [f"and {len(words) - MOST_NAMED} more"] if len(words) > MOST_NAMED else []
    return "; ".join([*words[:MOST_NAMED], *more])


def went(metric: str) -> str:
    """Say which way a metric goes when it gets worse."""
    return "rose" if metric in LOWER_IS_BETTER else "fell"


def day(moment: datetime) -> str:
    """Say a day."""
    return f"{moment.day} {moment:%B}"


def stretch(since: datetime, until: datetime) -> str:
    """Say a stretch of time.

    Example:
        >>> stretch(datetime(2013, 3, 4), datetime(2013, 3, 11))
        'the 7 days from 4 March'
    """
    seconds = (until - since).total_seconds()
    for length, name in ((86400, "day"), (3600, "hour"), (60, "minute"), (1, "second")):
        if seconds >= length:
            many = f"{seconds / length:g} {name}s" if seconds != length else f"{name}"
            return f"the {many} from {day(since)}"
    return f"the stretch from {day(since)}"
