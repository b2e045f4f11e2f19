"""Counts how a version fared: what each request adds, and what changes when one of them does."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray

from tidemill.core.moments import FINE, Moments, grains
from tidemill.models.records import Signature
from tidemill.monitoring.losses import row_losses
from tidemill.predictions.units import requests_of, units_of

Floats = NDArray[np.float64]
Place = tuple[int, str]
"""When a request was made, in microseconds since 1970, and what its rows' ids share."""


class Cut(msgspec.Struct, frozen=True):
    """One way to divide all possible answers in two, fixed before they are given.

    Attributes:
        name: The part whose share is told, for people.
        label: The class that is in it, or nothing where answers are numbers.
        above: The number above which answers are in it.
    """

    name: str
    label: Any = None
    above: float = 0.0


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is counted, fixed before anything is.

    Attributes:
        edges_ms: Between which latencies requests are counted, in milliseconds.
        cuts: How answers are told apart.
        metric: Whose loss is summed; the task's own where it is left out.
        usual_ms: The 99th percentile of latency that was usual before, where it is known.
    """

    edges_ms: tuple[float, ...]
    cuts: tuple[Cut, ...] = ()
    metric: str | None = None
    usual_ms: float | None = None


class Requests(msgspec.Struct, frozen=True, array_like=True):
    """The requests of one step: how many, how many failed, and how many took how long."""

    count: int
    errors: int
    latencies: tuple[int, ...]


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """How one version fared.

    Attributes:
        steps: When each step began, in microseconds since 1970.
        requests: By step.
        losses: Of the labelled answers.
        shares: How many answers are on the named side of each cut.
    """

    steps: tuple[int, ...] = ()
    requests: tuple[Requests, ...] = ()
    losses: Moments
    shares: tuple[Moments, ...]


class Part(msgspec.Struct, frozen=True, array_like=True):
    """What was counted of a unit, or of a request of it.

    Attributes:
        answered: How many rows were answered.
        labelled: How many of them are labelled.
        boundless: How many of these have a loss beyond all measure.
        loss: What the others lost, in grains.
        inside: How many answers are on the named side of each cut.
    """

    answered: int = 0
    labelled: int = 0
    boundless: int = 0
    loss: int = 0
    inside: tuple[int, ...] = ()

    def changed(self, before: Part, after: Part) -> Part:
        """Return it with one of its parts in place of what that was."""
        nothing = (0,) * max(len(self.inside), len(after.inside))
        sides = (self.inside or nothing, after.inside or nothing, before.inside or nothing)
        return Part(
            self.answered + after.answered - before.answered,
            self.labelled + after.labelled - before.labelled,
            self.boundless + after.boundless - before.boundless,
            self.loss + after.loss - before.loss,
            tuple(mine + new - old for mine, new, old in zip(*sides, strict=True)),
        )


class Entry(msgspec.Struct, frozen=True, array_like=True):
    """What a request was counted for.

    Attributes:
        step: In which step; below zero for the sums of a key, which are of no step.
        latency: Between which edges.
        failed: Whether any of its rows failed.
        part: What it adds to its unit.
    """

    step: int
    latency: int
    failed: bool
    part: Part


class Change(msgspec.Struct, frozen=True):
    """What comes of requests that are new, or other than they were.

    Attributes:
        arm: How the version fared, with them.
        requests: Those that are new or other.
        keys: The sums of the keys that they named.
    """

    arm: Arm
    requests: dict[Place, Entry]
    keys: dict[str, Part]


def empty(plan: Plan) -> Arm:
    """Return how a version fared that was asked nothing."""
    return Arm(losses=Moments(bits=FINE), shares=(Moments(),) * len(plan.cuts))


def entries_of(
    signature: Signature, plan: Plan, rows: pl.DataFrame, steps: Sequence[int]
) -> dict[Place, Entry]:
    """Return what each request is to be counted for; one that failed for any row has failed.

    Args:
        signature: Of the version.
        plan: What is counted.
        rows: All rows of the requests, as `read_answers` returns them.
        steps: When each step began, in microseconds since 1970.
    """
    whole = (
        _placed(rows)
        .group_by("time", "request")
        .agg(pl.col("latency_us").max(), (pl.col("status") != "ok").any().alias("failed"))
    )
    numbers = np.searchsorted(steps, whole["time"].to_numpy(), side="right") - 1
    edges = np.searchsorted(plan.edges_ms, whole["latency_us"].to_numpy() / 1000)
    parts = _parts(signature, plan, _placed(rows.filter(pl.col("status") == "ok")))
    nothing = Part(inside=(0,) * len(plan.cuts))
    columns = (whole["time"], whole["request"], numbers.tolist(), edges.tolist(), whole["failed"])
    return {
        (time, name): Entry(step, edge, failed, parts.get((time, name), nothing))
        for time, name, step, edge, failed in zip(*columns, strict=True)
    }


def change(
    plan: Plan,
    arm: Arm,
    before: Mapping[Place, Entry],
    after: Mapping[Place, Entry],
    keys: Mapping[str, Part],
) -> Change:
    """Return how a version fared with requests as they are in place of what they were.

    Args:
        plan: What is counted.
        arm: How it fared with requests as they were.
        before: What they were counted for.
        after: What they are to be counted for.
        keys: The sums so far of their keys, which `keys_of` names.
    """
    new = {place: entry for place, entry in after.items() if before.get(place) != entry}
    old = {place: before[place] for place in new if place in before}
    by_key: dict[str, Part] = {}
    alone: list[Place] = []
    for place, key in _named(new).items():
        if key is None:
            alone.append(place)
        else:
            was = old[place].part if place in old else Part()
            known = by_key.get(key) or keys.get(key, Part())
            by_key[key] = known.changed(was, new[place].part)
    after_units = [*(new[p].part for p in alone), *by_key.values()]
    before_units = [old[p].part for p in alone if p in old]
    before_units += [keys[k] for k in by_key if k in keys]
    gone, come = _sums(plan, before_units), _sums(plan, after_units)
    changed = Arm(
        steps=arm.steps,
        requests=_requests(plan, arm.requests, old.values(), new.values()),
        losses=arm.losses - gone[0] + come[0],
        shares=tuple(s - a + b for s, a, b in zip(arm.shares, gone[1:], come[1:], strict=True)),
    )
    return Change(changed, new, by_key)


def keys_of(places: Iterable[Place]) -> set[str]:
    """Return the keys that requests named."""
    return {key for key in _named(places).values() if key is not None}


def _named(places: Iterable[Place]) -> dict[Place, str | None]:
    """Return which key each request named; nothing where it named none, and is a unit itself."""
    places = list(places)
    names = [name for _, name in places]
    units = units_of(pl.Series(names, dtype=pl.String)).to_list()
    pairs = zip(names, units, strict=True)
    keys = [None if unit == name else unit for name, unit in pairs]
    return dict(zip(places, keys, strict=True))


def _placed(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(requests_of(rows["id"]).alias("request"))


def _parts(signature: Signature, plan: Plan, answered: pl.DataFrame) -> dict[Place, Part]:
    """Return what is counted of the answers to each request."""
    inside = {str(n): _inside(signature, answered, cut) for n, cut in enumerate(plan.cuts)}
    sums = (
        answered.select("time", "request", **{n: pl.Series(v) for n, v in inside.items()})
        .group_by("time", "request")
        .agg(pl.len().alias("answered"), *(pl.col(n).sum() for n in inside))
    )
    labelled = answered.filter(pl.col("label").is_not_null())
    losses = _losses(signature, plan, labelled) if labelled.height else {}
    return {
        (time, name): Part(count, *losses.get((time, name), (0, 0, 0)), tuple(sides))
        for time, name, count, *sides in sums.iter_rows()
    }


def _losses(
    signature: Signature, plan: Plan, labelled: pl.DataFrame
) -> dict[Place, tuple[int, int, int]]:
    """Return how many rows of each request are labelled, beyond measure, and what they lost."""
    found: dict[Place, tuple[int, int, int]] = defaultdict(lambda: (0, 0, 0))
    values = row_losses(signature, labelled, plan.metric).tolist()
    for time, name, value in zip(labelled["time"], labelled["request"], values, strict=True):
        rows, boundless, loss = found[time, name]
        lost = grains(value)
        found[time, name] = (rows + 1, boundless + (lost is None), loss + (lost or 0))
    return found


def _inside(signature: Signature, rows: pl.DataFrame, cut: Cut) -> NDArray[np.int64]:
    if cut.label is not None:
        return np.array([p == cut.label for p in rows["prediction"].to_list()], dtype=np.int64)
    answers = rows["score" if signature.task == "binary" else "prediction"]
    return (answers.cast(pl.Float64) > cut.above).cast(pl.Int64).to_numpy()


def _sums(plan: Plan, parts: Sequence[Part]) -> list[Moments]:
    """Return the sums of losses, and of each cut, over units."""
    labelled = [p for p in parts if p.labelled]
    answered = [p for p in parts if p.answered]
    sizes = [p.answered for p in answered]
    losses = Moments.of(
        [p.loss for p in labelled],
        [p.labelled for p in labelled],
        bits=FINE,
        boundless=sum(p.boundless for p in labelled),
    )
    sides = zip(*(p.inside for p in answered), strict=True) if answered else ((),) * len(plan.cuts)
    return [losses, *(Moments.of(side, sizes) for side in sides)]


def _requests(
    plan: Plan, known: Sequence[Requests], before: Iterable[Entry], after: Iterable[Entry]
) -> tuple[Requests, ...]:
    """Return the requests by step."""
    width = len(plan.edges_ms) + 1
    counts: dict[int, list[int]] = defaultdict(lambda: [0] * (width + 2))
    for step, each in enumerate(known):
        counts[step] = [each.count, each.errors, *each.latencies]
    for sign, entries in ((-1, before), (1, after)):
        for entry in entries:
            found = counts[entry.step]
            found[0] += sign
            found[1] += sign * entry.failed
            found[2 + entry.latency] += sign
    return tuple(
        Requests(counts[s][0], counts[s][1], tuple(counts[s][2:]))
        for s in range(max(counts, default=-1) + 1)
    )
