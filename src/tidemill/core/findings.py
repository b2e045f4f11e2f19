"""What can be found wrong with a model in production, and how much that matters."""

from __future__ import annotations

from typing import Literal, get_args

FindingKind = Literal[
    "drift",
    "prediction-drift",
    "performance",
    "estimated-performance",
    "concept",
    "silence",
    "quality",
    "skew",
    "estimator",
    "health",
]
"""`drift`: columns moved. `prediction-drift`: the answers did. `performance`: quality fell.
`estimated-performance`: it probably did, labels being awaited. `estimator`: such estimates cannot
be believed. `concept`: the relation of features and label changed. `silence`: predictions or labels
stopped coming. `quality`: values break the contract. `skew`: serving gives other values than
training had. `health`: a machine or process is short of something. A rule of `[alerts]` may name
each."""
Severity = Literal["info", "warning", "critical"]
KINDS: tuple[FindingKind, ...] = get_args(FindingKind)
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
