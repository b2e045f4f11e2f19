"""What the loop decides, and what it decides from."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

DecisionKind = Literal["train", "advance", "promote", "rollback", "refuse-data"]


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """One automatic decision: written before it is carried out, with its inputs and its reason.

    Attributes:
        id: UUIDv7; for `train`, also the id of the run that it starts.
        time: When it was made.
        kind: What is to be done.
        subject: The reference it is about.
        reason: One sentence for people.
        trigger: What led to it: `drift`, `performance`, `new-data`, `schedule`, `evidence`, …
        findings: The ids of the facts that it rests on.
        numbers: The figures that it rests on.
        outcome: `pending`, `done` or `failed`.
        result: What came of it, in one sentence.
    """

    id: str
    time: datetime
    kind: DecisionKind
    subject: str
    reason: str
    trigger: str
    findings: tuple[str, ...] = ()
    numbers: dict[str, float] = {}
    outcome: Literal["pending", "done", "failed"] = "pending"
    result: str = ""


class Signal(msgspec.Struct, frozen=True, kw_only=True):
    """One thing seen in the journal that may start a training.

    Attributes:
        trigger: Which of the policy's triggers it belongs to.
        fact: The id of the fact.
        time: When it was written.
        message: What was seen, in one sentence.
        numbers: Its figures.
    """

    trigger: str
    fact: str
    time: datetime
    message: str
    numbers: dict[str, float] = {}


class Situation(msgspec.Struct, frozen=True, kw_only=True):
    """All that the question "train now?" depends on.

    Attributes:
        model: The model's name.
        now: The present moment.
        last_training: When the last training was decided, by whomever; nothing before the first.
        has_version: Whether any version was ever registered.
        in_rollout: Whether a candidate is being rolled out.
        new_rows: Rows that came since the last training.
        known_rows: Rows that there were at the last training.
        signals: What was seen since the last training, oldest first.
    """

    model: str
    now: datetime
    last_training: datetime | None
    has_version: bool
    in_rollout: bool
    new_rows: int
    known_rows: int = 0
    signals: tuple[Signal, ...] = ()


class Intention(msgspec.Struct, frozen=True, kw_only=True):
    """What the loop would do now, and why: the answer of `tidemill loop explain`.

    Attributes:
        model: The model's name.
        act: Whether it would start a training now.
        trigger: What would start it, or nothing.
        reason: One sentence for people.
        signals: What it has seen since the last training.
        not_before: When the cooldown ends, where that is what holds it back.
    """

    model: str
    act: bool
    trigger: str | None
    reason: str
    signals: tuple[Signal, ...] = ()
    not_before: datetime | None = None
