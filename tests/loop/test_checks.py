"""What a candidate must show before it is rolled out: in a sandbox, and on recorded requests."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tidemill.core.contract import Column, Contract
from tidemill.core.policy import BacktestPolicy, GateRule, ModelPolicy
from tidemill.loop.checks import check_candidate, needed
from tidemill.pipelines.recipe import Recipe, RecordedRows
from tidemill.pipelines.records import RuleReport

from .conftest import SAMPLE

NOW = datetime(2013, 3, 4, tzinfo=UTC)


def recipe(graphs: Path, recorded: Path | None = None, **policy: Any) -> Recipe:
    return Recipe(
        model="m",
        policy=ModelPolicy(train="p:f", dataset="d", **policy),
        dataset="dataset:d@1",
        files=(),
        contract=Contract(columns=(Column(name="a", type="float"),)),
        code="c",
        until=NOW,
        created=NOW,
        champion=str(graphs / "good"),
        champion_ref="model:m@1",
        recorded=None if recorded is None else RecordedRows(digest="d", file=str(recorded)),
    )


def check(graphs: Path, kind: str, made: Recipe) -> tuple[RuleReport, ...]:
    assert needed(made)
    return check_candidate.function(made, graphs / kind, SAMPLE).rules


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """Two hundred requests that `good` answered, the last one with a b over 100."""
    rows = pl.DataFrame(
        {
            "id": [f"{n:027x}00000" for n in range(200)],
            "time": [1_000_000 * n for n in range(200)],
            "prediction": [n >= 100 for n in range(200)],
            "score": [n / 200 for n in range(200)],
            "label": [n >= 100 for n in range(200)],
            "feature.a": [(n - 100) / 50 for n in range(200)],
            "feature.b": [3.0] * 199 + [500.0],
        }
    )
    rows.write_parquet(tmp_path / "recorded.parquet")
    return tmp_path / "recorded.parquet"


def test_nothing_is_started_where_the_policy_asks_for_nothing(graphs: Path) -> None:
    assert not needed(recipe(graphs, gate={"f1": GateRule(min=0.5)}))


def test_a_candidate_is_held_to_limits_and_to_the_champion_in_the_same_run(
    graphs: Path,
) -> None:
    gate = {
        "memory_mb": GateRule(max=2000),
        "startup_s": GateRule(max=0.001),
        "latency_p99_ms": GateRule(max=10_000, max_ratio=1000),
        "latency_p50_ms": GateRule(max_ratio=1e-6),
    }
    found = check(graphs, "contrary", recipe(graphs, gate=gate))
    assert [(r.metric, r.rule, r.passed) for r in found] == [
        ("memory_mb", "max", True),
        ("startup_s", "max", False),
        ("latency_p99_ms", "max", True),
        ("latency_p99_ms", "max_ratio", True),
        ("latency_p50_ms", "max_ratio", False),
    ]
    assert found[3].champion is not None
    assert "in the same run" in found[3].sentence


def test_a_candidate_that_fails_at_recorded_requests_is_held_back(
    graphs: Path, recorded: Path
) -> None:
    made = recipe(graphs, recorded, gate={"memory_mb": GateRule(max=2000)})
    (found,) = check(graphs, "failing", made)
    assert (found.metric, found.passed) == ("sandbox", False)
    assert "requests failed in the sandbox" in found.sentence


def test_a_candidate_that_takes_too_much_is_held_back_and_says_how_much(graphs: Path) -> None:
    (found,) = check(graphs, "good", recipe(graphs, gate={"memory_mb": GateRule(max=1)}))
    assert not found.passed
    assert found.candidate > 1


def test_recorded_answers_may_change_only_so_much(graphs: Path, recorded: Path) -> None:
    limits = BacktestPolicy(max_changed=0.1)
    (same,) = check(graphs, "good", recipe(graphs, recorded, backtest=limits))
    assert same.passed
    (turned,) = check(graphs, "contrary", recipe(graphs, recorded, backtest=limits))
    assert not turned.passed
    assert "of the answers change; 10.00% may" in turned.sentence
    (worse,) = check(
        graphs, "contrary", recipe(graphs, recorded, backtest=BacktestPolicy(tolerance=0.0))
    )
    assert not worse.passed
    assert "The loss is larger" in worse.sentence


def test_where_too_little_was_recorded_there_is_nothing_to_judge(
    graphs: Path, recorded: Path
) -> None:
    limits = BacktestPolicy(max_changed=0.0, min_rows=201)
    for made in (recipe(graphs, backtest=limits), recipe(graphs, recorded, backtest=limits)):
        (found,) = check(graphs, "contrary", made)
        assert found.passed
        assert "too few to replay" in found.sentence
