"""What the loop decides, and what it decides from."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

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


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Something that is not as it was.

    Attributes:
        what: What differs: a package, a metric, the model.
        before: As it was recorded.
        after: As it is now.
    """

    what: str
    before: str
    after: str


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What came of making a run again.

    Attributes:
        run: The run that was made again.
        again: The run that made it again.
        identical: Whether metrics and model are the same to the last bit.
        compared: What was compared.
        differences: What is not as it was; a changed environment alone does not count against it.
    """

    run: str
    again: str
    identical: bool
    compared: tuple[str, ...]
    differences: tuple[Difference, ...]


class Link(msgspec.Struct, frozen=True, kw_only=True):
    """One step of the chain.

    Attributes:
        what: What kind of thing it is: `prediction`, `deployment`, `model version`, …
        reference: Its reference, where it has one.
        time: When it came to be.
        facts: What is known of it, in the order in which people want it.
    """

    what: str
    reference: str
    time: datetime | None
    facts: dict[str, Any]


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """A prediction's whole chain, the prediction first.

    Attributes:
        prediction: Its id.
        links: From the prediction back to the rows.
    """

    prediction: str
    links: tuple[Link, ...]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Something that happened to a model.

    Attributes:
        id: The id of the journal's fact.
        time: When.
        what: What changed: an alias, a stage, a status, a deployment, a rollout, and so on.
        name: Which alias or endpoint.
        version: Which version.
        before: What stood there before.
        after: What stands there since.
        actor: Who did it.
        reason: Why.
    """

    id: str
    time: datetime
    what: str
    name: str = ""
    version: int | None = None
    before: str = ""
    after: str = ""
    actor: str
    reason: str = ""
