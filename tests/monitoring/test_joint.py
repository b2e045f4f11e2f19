"""Columns together: the peer's values, relations, embeddings and text, and the rate of alarms."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidemill.monitoring.joint import DomainClassifier, Reconstruction

GOLDEN = Path(__file__).parent / "golden"
DAYS, ROWS = 24, 150


def _days(days: int, rows: int = ROWS) -> pl.Series:
    return pl.Series("block", np.repeat(np.arange(days), rows))


def _related(rng: np.random.Generator, days: int, relation: float = 0.9) -> pl.DataFrame:
    """Three columns that belong together; their own distributions do not depend on how closely."""
    count = days * ROWS
    day = rng.normal(size=days).repeat(ROWS) * 0.3
    common = rng.normal(size=count)
    own = rng.normal(size=(3, count))
    values = np.sqrt(relation) * common + np.sqrt(1 - relation) * own
    columns = {f"x{i}": v + day for i, v in enumerate(values)}
    return pl.DataFrame({**columns, "kind": rng.choice(["a", "b", "c"], count, p=[0.6, 0.3, 0.1])})


def test_reconstruction_errors_of_chunks_equal_the_peer() -> None:
    golden = json.loads((GOLDEN / "peers.json").read_text())["reconstruction"]
    names = ["age", "bmi", "bp", "s5"]
    frames = [pl.read_parquet(GOLDEN / f"di_{part}.parquet") for part in ("ref", "cur")]
    watched = Reconstruction(frames[0], pl.Series(np.arange(4000) // 1000), names)
    found = [
        watched.errors(frame)[i : i + 1000].mean()
        for frame in frames
        for i in range(0, frame.height, 1000)
    ]
    assert found == pytest.approx(golden, abs=1e-9)


@pytest.mark.parametrize("kind", [Reconstruction, DomainClassifier])
def test_calm_windows_seldom_alarm_and_broken_relations_are_found(kind: Any) -> None:
    alarms = hits = 0
    for seed in range(6):
        rng = np.random.default_rng(seed)
        usual = _related(rng, DAYS)
        watched = kind(usual, _days(DAYS), usual.columns)
        alarms += watched.compare(_related(rng, 7), _days(7)).p_value < 0.05
        hits += watched.compare(_related(rng, 7, relation=0.5), _days(7)).p_value < 0.01
    assert alarms <= 2
    assert hits == 6


def test_a_window_of_few_rows_is_not_taken_for_drift() -> None:
    alarms = 0
    for seed in range(30):
        rng = np.random.default_rng(seed)
        watched = Reconstruction(_related(rng, DAYS), _days(DAYS), ["x0", "x1", "x2"])
        few = _related(rng, 7).with_columns(_days(7)).gather_every(25)
        found = watched.compare(few, few["block"])
        assert found is not None
        alarms += found.p_value < 0.05
    assert alarms <= 5


def _embeddings(rng: np.random.Generator, days: int, shift: float = 0.0) -> pl.DataFrame:
    vectors = rng.normal(size=(days * ROWS, 40))
    vectors[:, 3] += shift * rng.normal(size=len(vectors)) + shift
    return pl.DataFrame({"v": pl.Series("v", vectors.tolist(), dtype=pl.List(pl.Float64))})


def _texts(rng: np.random.Generator, days: int, words: list[str]) -> pl.DataFrame:
    said = rng.choice(words, (days * ROWS, 9))
    return pl.DataFrame({"v": [" ".join(row) for row in said]})


def test_embeddings_and_texts_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    words = [f"word{i}" for i in range(60)]
    cases = [
        (_embeddings(rng, DAYS), _embeddings(rng, 7), _embeddings(rng, 7, shift=1.0)),
        (_texts(rng, DAYS, words), _texts(rng, 7, words), _texts(rng, 7, words[:20])),
    ]
    for usual, calm, moved in cases:
        watched = DomainClassifier(usual, _days(DAYS), ["v"])
        found = [watched.compare(rows, _days(7)) for rows in (calm, moved)]
        assert found[0] is not None
        assert found[1] is not None
        assert found[0].p_value > 0.001
        assert found[1].p_value < 1e-3
        assert found[1].effect > 0.1


def test_whatever_a_window_holds_gives_a_figure_or_nothing() -> None:
    rng = np.random.default_rng(0)
    usual = _related(rng, DAYS).with_columns(
        constant=pl.lit(1.0), nothing=pl.lit(None), lists=pl.lit([1, 2])
    )
    windows = [
        usual.head(7 * ROWS).with_columns(x0=pl.lit(None), x1=pl.lit("word")),
        usual.head(7 * ROWS).drop("x0", "kind"),
        usual.head(7 * ROWS).with_columns(x0=pl.lit(float("inf")), kind=pl.lit("new")),
    ]
    for kind in (Reconstruction, DomainClassifier):
        watched = kind(usual, _days(DAYS), usual.columns)
        for window in windows:
            found = watched.compare(window, _days(7))
            assert found is not None
            assert 0 <= found.p_value <= 1
        assert watched.compare(usual.head(1), _days(7).head(1)) is None
        assert watched.compare(usual.clear(), _days(7).clear()) is None
        assert watched.compare(usual, _days(DAYS)) is None
    assert Reconstruction(usual, _days(DAYS), ["x0"]).compare(windows[0], _days(7)) is None


@pytest.mark.parametrize("kind", [Reconstruction, DomainClassifier])
def test_many_categories_do_not_alarm_for_what_was_frequent_by_chance(kind: Any) -> None:
    alarms = 0
    for seed in range(8):
        rng = np.random.default_rng(seed)
        both = []
        for days in (DAYS, 7):
            rows = _related(rng, days)
            both.append(rows.with_columns(k=rng.integers(0, 1000, rows.height).astype(str)))
        watched = kind(both[0], _days(DAYS), both[0].columns)
        found = watched.compare(both[1], _days(7))
        alarms += found is not None and found.p_value < 0.01
    assert alarms <= 1
