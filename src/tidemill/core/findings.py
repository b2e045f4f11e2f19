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
Happening = Literal[
    "training-failed",
    "gate-held",
    "rolled-back",
    "promoted",
    "data-refused",
    "log-lost",
    "log-damaged",
]
"""What rules of `[alerts]` may name beside findings. `training-failed`: until one succeeds.
`data-refused`: until data of the dataset are taken in. Over as soon as they are told are
`gate-held` (a candidate was held back), `rolled-back`, `promoted`, `log-lost` (predictions were
answered that the log could not take) and `log-damaged` (some of it cannot be read). Where no rule
names them, nobody is told of what is as it should be: a gate that holds back, and a promotion."""
Severity = Literal["info", "warning", "critical"]
KINDS: tuple[FindingKind, ...] = get_args(FindingKind)
HAPPENINGS: tuple[Happening, ...] = get_args(Happening)
USUAL: frozenset[str] = frozenset({"gate-held", "promoted"})
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
