"""Detectors of change: the recorded detections, their false alarms, and what they refuse."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidemill.monitoring.detectors import (
    UnknownDetector,
    UnsuitedStream,
    detections,
    witnesses,
)

GOLDEN: dict[str, Any] = json.loads(
    (Path(__file__).parent / "golden" / "detectors.json").read_text()
)


def _stream(name: str) -> np.ndarray[Any, Any]:
    kind, seed = name.split("_s")
    early, late = np.random.default_rng(int(seed)), np.random.default_rng(int(seed) + 100)
    if kind == "err":
        parts = early.random(2000) < 0.1, late.random(2000) < 0.3
    else:
        parts = early.normal(0, 1, 2000), late.normal(1, 1, 2000)
    return np.concatenate(parts).astype(np.float64)


@pytest.mark.parametrize(
    "golden", GOLDEN["detections"], ids=lambda g: f"{g['detector']}-{g['stream']}"
)
def test_detections_are_the_recorded_ones(golden: dict[str, Any]) -> None:
    found = detections(_stream(golden["stream"]), golden["detector"])
    assert [d.index for d in found][:50] == golden["at"]


@pytest.mark.parametrize("detector", GOLDEN["false_alarms"])
def test_false_alarms_on_a_calm_stream_are_the_recorded_ones(detector: str) -> None:
    calm = [np.random.default_rng(1000 + s).random(10_000) < 0.1 for s in range(10)]
    many = sum(len(detections(c.astype(np.float64), detector)) for c in calm)
    assert round(many / 10, 2) == GOLDEN["false_alarms"][detector]


def test_what_a_detector_cannot_watch_is_refused() -> None:
    with pytest.raises(UnknownDetector, match=r"no detector 'adwim'\. Expected .*adwin"):
        detections(np.zeros(3), "adwim")
    with pytest.raises(UnsuitedStream, match=r"holds 0\.5"):
        detections(np.array([0.0, 0.5]), "ddm")
    assert detections(np.zeros(0), "ddm") == []


def test_witnesses_speak_of_changes_for_the_worse_only() -> None:
    rng = np.random.default_rng(3)
    usual, worse = rng.random(2000) < 0.1, rng.random(1000) < 0.4
    errors = np.append(usual, worse).astype(np.float64)
    residuals = errors - 0.1
    found = witnesses(errors, residuals, 2000)
    assert set(found) == {"ddm", "hddm-a", "hddm-w", "page-hinkley"}
    assert all(0 <= index < 400 for index in found.values())
    assert witnesses(1 - errors, -residuals, 2000) == {}
    assert witnesses(np.zeros(0), np.zeros(0), 0) == {}
