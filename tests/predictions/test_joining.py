"""Labels find their predictions, however they come."""

from __future__ import annotations

import itertools
import tempfile
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.clock import SystemClock
from tidemill.core.ids import Ids
from tidemill.predictions.compaction import compact
from tidemill.predictions.deliveries import contradictions, deliver, label_rows, labels_of_text
from tidemill.predictions.errors import BadLabels, EndpointNotLogged
from tidemill.predictions.joining import history
from tidemill.predictions.reading import read_all_labels, scan, stats
from tidemill.predictions.records import LabelRecord, LabelRow

from .letters import START, label, record
from .letters import deliver as put

NAMES = ("p0", "p1", "p2")
one_label = st.tuples(
    st.sampled_from(["id", "key"]), st.sampled_from([0, 1, 2, 3]), st.booleans(), st.integers(0, 20)
)


def joined(root: Path) -> dict[str, Any]:
    frame = scan(root, "e", labels=True).sort("id").collect()
    return {
        i: (v, n) for i, v, n in zip(frame["id"], frame["label"], frame["label_count"], strict=True)
    }


def expected(labels: list[tuple[str, int, bool, int]]) -> dict[str, Any]:
    """What the join means, said plainly: the last to arrive counts, at once the one by id."""
    found = {}
    for at, name in enumerate(NAMES):
        mine = [t for t in labels if t[1] == at]
        best = max(mine, key=lambda t: (t[3], t[0] == "id"), default=None)
        found[name] = (None if best is None else best[2], len(mine))
    return found


@settings(max_examples=15, deadline=None)
@given(
    labels=st.lists(one_label, max_size=8, unique_by=lambda t: (t[0], t[1], t[3])),
    order=st.randoms(use_true_random=False),
    split=st.integers(0, 8),
)
def test_any_order_of_arrival_gives_the_same_join(
    labels: list[tuple[str, int, bool, int]], order: Any, split: int
) -> None:
    shuffled = list(labels)
    order.shuffle(shuffled)
    with tempfile.TemporaryDirectory() as folder:
        root, ids = Path(folder), Ids(SystemClock())
        letters = [
            label(value, arrived=START + arrived, **_named(by, at))
            for by, at, value, arrived in shuffled
        ]
        # Some come before the predictions, some are compacted, some are still in their segments.
        if letters[:split]:
            put(root, ids, *letters[:split])
        put(root, ids, record(ids, rows=3, ids=list(NAMES), keys=["k0", "k1", "k2"]))
        list(compact(root, "e", "labels"))
        if letters[split:]:
            put(root, ids, *letters[split:])
        assert joined(root) == expected(labels)


def _named(by: str, at: int) -> dict[str, str]:
    return {"prediction_id": f"p{at}"} if by == "id" else {"key": f"k{at}"}


def test_a_label_told_again_changes_nothing_and_one_told_differently_corrects(
    tmp_path: Path, ids: Ids
) -> None:
    put(tmp_path, ids, record(ids, ids=["p0"], keys=["k0"]))
    for number, value in enumerate([True, True, False]):
        put(tmp_path, ids, label(value, arrived=START + number, key="k0"))
    assert joined(tmp_path) == {"p0": (False, 3)}
    told = history(read_all_labels(tmp_path, "e"), "p0", "k0")
    assert told["label"].to_list() == [True, True, False]


def test_what_finds_no_prediction_is_kept_and_said(tmp_path: Path, ids: Ids) -> None:
    put(tmp_path, ids, record(ids, ids=["p0"], keys=["k0"]))
    put(tmp_path, ids, label(1, key="k0"), label(1, key="k9"), label(1, prediction_id="p9"))
    found = stats(tmp_path, "e")
    assert (found.labels, found.labelled, found.unmatched) == (3, 1, 2)
    assert set(found.examples) == {"k9", "p9"}
    put(tmp_path, ids, record(ids, ids=["p9"], keys=[None]))
    assert stats(tmp_path, "e").unmatched == 1


def test_a_stretch_opens_only_the_files_of_its_days(tmp_path: Path, ids: Ids) -> None:
    from datetime import UTC, datetime

    day = 86_400_000_000
    put(tmp_path, ids, *(record(ids, at=START + n * day) for n in range(4)))
    list(compact(tmp_path, "e", "predictions"))
    first, last = tmp_path.rglob("*2013-02-01/*.parquet"), tmp_path.rglob("*2013-02-04/*.parquet")
    for path in itertools.chain(first, last):
        path.write_bytes(b"no Parquet")
    since, until = datetime(2013, 2, 2, tzinfo=UTC), datetime(2013, 2, 4, tzinfo=UTC)
    assert scan(tmp_path, "e", since=since, until=until).collect().height == 2


def test_a_log_without_predictions_is_an_empty_table(tmp_path: Path, ids: Ids) -> None:
    put(tmp_path, ids, label(True, key="a"))
    assert scan(tmp_path, "e", labels=True).collect().height == 0
    with pytest.raises(EndpointNotLogged, match="nothing of endpoint 'f'"):
        scan(tmp_path, "f")


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"key": ["a"]}, "columns 'key'"),
        ({"label": [1]}, "`prediction_id` or `key` beside"),
        ({"label": [1], "keys": ["a"]}, "'keys'"),
        ({"label": [1], "key": [None]}, "Label 0 names no one prediction"),
        ({"label": [1], "key": ["a"], "prediction_id": ["b"]}, "both 'b' and 'a'"),
        ({"label": [1, None], "key": ["a", "b"]}, "Label 1 has label None"),
        ({"label": [float("nan")], "key": ["a"]}, "Label 0 has label nan"),
        ({"label": [2**70], "key": ["a"]}, "Label 0 has label 11805"),
        ({"label": [1], "key": [1.5]}, "Label 0 has key 1.5"),
        ({"label": [1], "prediction_id": [7]}, "Label 0 has prediction_id 7"),
        ({"label": [1], "key": ["a"], "time": ["noon"]}, "Label 0 has time 'noon'"),
    ],
)
def test_a_refusal_names_row_value_and_expectation(columns: dict[str, Any], said: str) -> None:
    with pytest.raises(BadLabels) as caught:
        label_rows(columns)
    assert said in str(caught.value)
    assert caught.value.expected


def test_labels_of_a_csv_are_of_the_answers_type() -> None:
    assert labels_of_text(["TRUE", "0", None], "bool") == [True, False, None]
    assert labels_of_text(["007", "-1"], "int") == [7, -1]
    assert labels_of_text(["007", "true"], "string") == ["007", "true"]
    with pytest.raises(BadLabels, match="Label 1 has label 'maybe'"):
        labels_of_text(["1", "maybe"], "bool")


def test_a_large_delivery_is_taken_whole_and_contradictions_are_said(
    tmp_path: Path, ids: Ids
) -> None:
    put(tmp_path, ids, record(ids))
    rows = [LabelRow(n, key=f"k{n}") for n in range(250_000)] + [LabelRow(-1, key="k7")]
    done = deliver(tmp_path, "e", rows, ids=ids, clock=SystemClock())
    assert (done.accepted, done.contradictory, done.examples) == (250_001, 1, ("k7",))
    assert contradictions(rows) == ["k7"]
    assert read_all_labels(tmp_path, "e").height == 250_001


def test_labels_of_several_types_are_read_together(tmp_path: Path, ids: Ids) -> None:
    put(tmp_path, ids, record(ids, ids=["p0"]))
    put(tmp_path, ids, LabelRecord(START, [LabelRow(1, key="a"), LabelRow(2.5, key="b")]))
    labels = read_all_labels(tmp_path, "e")
    assert labels["label"].dtype == pl.Float64
