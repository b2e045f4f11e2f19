"""Searching, held against a simple model that walks over runs in memory."""

from __future__ import annotations

import fnmatch
import math
import operator
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.clock import SimulatedClock, micros
from tidemill.core.ids import Ids
from tidemill.core.search.errors import BadSearch
from tidemill.core.search.parser import parse_filter
from tidemill.core.search.syntax import Both, Comparison, Either, Negation, Node
from tidemill.journal.service import Journal
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database
from tidemill.storage.db.search import glob_of
from tidemill.tracking.records import Metric, Param, Run, Tag
from tidemill.tracking.service import Tracking

ON_BOTH_DATABASES = True

VALUES = [math.nan, math.inf, -math.inf, -1.5, 0.0, 0.5, 2.0]
TEXTS = ["", "a", "A", "ab", "a_b", "a%", "[a]", "*", "it's"]
PATTERNS = [*TEXTS, "%", "_", "a%", "%b", "_%_"]
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


@pytest.fixture(scope="module")
def filled() -> Iterator[tuple[Tracking, list[Run]]]:
    """Forty runs with random things logged to them."""
    rng = random.Random(7)
    clock = SimulatedClock(datetime(2013, 2, 1, tzinfo=UTC))
    ids = Ids(clock, rng)
    with TemporaryDirectory() as folder:
        db = Database.open(f"sqlite:///{folder}/tidemill.db")
        tracking = Tracking(
            db, LocalBlobs(Path(folder, "blobs")), Journal(db, clock, ids), clock, ids
        )
        experiment = tracking.experiment("tides").id
        for _ in range(40):
            clock.sleep(rng.choice([0.0, 0.5, 60.0]))
            run = tracking.start_run(experiment, actor="user:me", name=rng.choice(TEXTS) or "n")
            tracking.log(
                run.id,
                metrics=[Metric(k, rng.choice(VALUES), 1) for k in "xy" if rng.random() < 0.7],
                params=[Param(k, rng.choice(TEXTS)) for k in "pq" if rng.random() < 0.7],
                tags=[Tag("t", rng.choice(TEXTS))] if rng.random() < 0.5 else [],
            )
            if rng.random() < 0.5:
                tracking.end_run(run.id, "FINISHED", actor="user:me")
        yield tracking, tracking.runs(limit=100)
        db.close()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


NUMBERS = st.builds(
    "metrics.{} {} {}".format,
    st.sampled_from("xyz"),
    st.sampled_from(sorted(_COMPARE)),
    st.sampled_from(["-1.5", "0", "0.5", "2", "1e300"]),
)
WORDS = st.builds(
    "{} {} {}".format,
    st.sampled_from(["params.p", "params.q", "tags.t", "tag.`no such`", "run_name", "status"]),
    st.sampled_from(["=", "!=", "LIKE", "ilike", "NOT LIKE", "not ilike"]),
    st.sampled_from(PATTERNS).map(_quoted),
)
LISTS = st.builds(
    "{} {} ({})".format,
    st.sampled_from(["params.p", "run_name", "tags.t"]),
    st.sampled_from(["IN", "NOT IN"]),
    st.lists(st.sampled_from(TEXTS).map(_quoted), min_size=1, max_size=3).map(", ".join),
)
MISSING = st.builds(
    "{} {}".format,
    st.sampled_from(["metrics.x", "params.q", "tags.t", "end_time", "run_name"]),
    st.sampled_from(["IS NULL", "is not null"]),
)
TIMES = st.builds(
    "attributes.{} {} {}".format,
    st.sampled_from(["start_time", "end_time"]),
    st.sampled_from(sorted(_COMPARE)),
    st.sampled_from([1359676800000, 1359677000500, 1359678000000]),
)
FILTERS = st.recursive(
    NUMBERS | WORDS | LISTS | MISSING | TIMES,
    lambda inner: st.one_of(
        st.builds("({} AND {})".format, inner, inner),
        st.builds("({} or {})".format, inner, inner),
        st.builds("NOT ({})".format, inner),
    ),
    max_leaves=6,
)


@settings(max_examples=250, deadline=None)
@given(text=FILTERS)
def test_a_search_finds_what_the_model_finds(filled: tuple[Tracking, list[Run]], text: str) -> None:
    tracking, runs = filled
    node = parse_filter(text)
    assert node is not None
    found = tracking.search(filter=text, limit=100)
    assert {r.id for r in found.items} == {r.id for r in runs if _holds(node, r)}


ORDERS = ["metrics.x", "metrics.y", "params.p", "tags.t", "start_time", "end_time", "run_name"]


@settings(max_examples=100, deadline=None)
@given(
    clauses=st.lists(
        st.tuples(st.sampled_from(ORDERS), st.sampled_from(["", " ASC", " DESC"])), max_size=3
    ),
    limit=st.integers(1, 50),
)
def test_pages_in_any_order_are_what_the_model_orders(
    filled: tuple[Tracking, list[Run]], clauses: list[tuple[str, str]], limit: int
) -> None:
    tracking, runs = filled
    expected = sorted(runs, key=lambda r: (-micros(r.started), r.id))
    for name, way in reversed(clauses):
        expected = _sorted(expected, name, descending=way == " DESC")
    found: list[str] = []
    token: str | None = None
    while True:
        page = tracking.search(
            order_by=[name + way for name, way in clauses], limit=limit, token=token
        )
        found += [r.id for r in page.items]
        token = page.token
        if token is None:
            break
        assert len(page.items) == limit
    assert found == [r.id for r in expected]


@given(st.text(alphabet="ab%_[]*?!^-", max_size=8), st.text(alphabet="ab[]*?!^-", max_size=8))
def test_a_glob_matches_what_its_like_matches(pattern: str, text: str) -> None:
    assert fnmatch.fnmatchcase(text, glob_of(pattern)) == _like(pattern, text)


@pytest.mark.parametrize(
    "text",
    [
        "foo.x = 1",
        "foo = 'x'",
        "metrics.x = 'a'",
        "metrics.x LIKE 'a'",
        "metrics.x IN (1)",
        "params.p = 3",
        "params.p > 'a'",
        "run_id IN (1)",
        "start_time = 'now'",
    ],
)
def test_what_cannot_be_searched_is_refused(filled: tuple[Tracking, list[Run]], text: str) -> None:
    with pytest.raises(BadSearch):
        filled[0].search(filter=text)


@pytest.mark.parametrize("order", ["foo", "foo.x", "x; DROP TABLE tracking_runs"])
def test_what_cannot_be_ordered_by_is_refused(
    filled: tuple[Tracking, list[Run]], order: str
) -> None:
    with pytest.raises(BadSearch):
        filled[0].search(order_by=[order])


@pytest.mark.parametrize("token", ["xx", "e30=", "bm90IGpzb24=", "eyJvZmZzZXQiOi0xfQ==", "\ud800"])
def test_a_forged_token_is_refused(filled: tuple[Tracking, list[Run]], token: str) -> None:
    with pytest.raises(BadSearch, match="token"):
        filled[0].search(token=token)


def test_names_and_values_are_bound_not_pasted(filled: tuple[Tracking, list[Run]]) -> None:
    tracking, runs = filled
    hostile = "x' OR '1'='1"
    assert not tracking.search(filter=f"params.`{hostile}` = {_quoted(hostile)}").items
    assert tracking.search(filter=f"params.p != {_quoted(hostile)}").items
    assert len(tracking.runs()) == len(runs)


def test_experiments_are_searched(filled: tuple[Tracking, list[Run]]) -> None:
    tracking, _ = filled
    assert [e.name for e in tracking.search_experiments("name LIKE 'ti%'").items] == ["tides"]
    assert tracking.search_experiments("tags.a IS NOT NULL").items == []
    assert tracking.search_experiments(view="deleted").items == []
    with pytest.raises(BadSearch):
        tracking.search_experiments("metrics.a > 1")


def _holds(node: Node, run: Run) -> bool:
    match node:
        case Both(parts):
            return all(_holds(p, run) for p in parts)
        case Either(parts):
            return any(_holds(p, run) for p in parts)
        case Negation(part):
            return not _holds(part, run)
        case Comparison():
            return _compares(node, _value(run, node.kind, node.key))


def _compares(node: Comparison, value: object) -> bool:
    if node.operator == "IS NULL":
        return value is None
    if node.operator == "IS NOT NULL":
        return value is not None
    if value is None:
        return False
    if node.operator in _COMPARE:
        return _COMPARE[node.operator](value, node.value)
    text = str(value)
    match node.operator:
        case "LIKE":
            return _like(str(node.value), text)
        case "ILIKE":
            return _like(str(node.value).lower(), text.lower())
        case "IN":
            return text in (node.value or ())  # type: ignore[operator]
    return text not in (node.value or ())  # type: ignore[operator]


def _value(run: Run, kind: str, key: str) -> object:
    match kind.rstrip("s"):
        case "metric":
            return run.metrics.get(key)
        case "param":
            return run.params.get(key)
        case "tag":
            return run.tags.get(key)
    moments = {"start_time": run.started, "end_time": run.ended}
    if key in moments:
        moment = moments[key]
        return None if moment is None else micros(moment) // 1000
    return {"run_name": run.name, "status": run.status}[key]


def _like(pattern: str, text: str) -> bool:
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(_like(pattern[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and pattern[0] in {"_", text[0]} and _like(pattern[1:], text[1:])


def _sorted(runs: list[Run], name: str, *, descending: bool) -> list[Run]:
    kind, _, key = name.rpartition(".")
    values = {r.id: _value(r, kind, key) for r in runs}

    def there(run: Run) -> bool:
        value = values[run.id]
        return value is not None and value == value

    ranked = [r for r in runs if there(r)]
    ranked.sort(key=lambda r: values[r.id], reverse=False)  # type: ignore[arg-type, return-value]
    if descending:
        ranked = [
            r
            for value in sorted({values[r.id] for r in ranked}, reverse=True)  # type: ignore[type-var]
            for r in ranked
            if values[r.id] == value
        ]
    nan = [r for r in runs if values[r.id] is not None and not there(r)]
    return [*ranked, *nan, *(r for r in runs if values[r.id] is None)]
