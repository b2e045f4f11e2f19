"""Keeps how the evidence of rollouts grew: a picture for people, a fact for each new verdict."""

from __future__ import annotations

from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.serving import store
from tidemill.serving.events import RolloutJudged
from tidemill.serving.evidence import Look, Verdict
from tidemill.serving.records import Rollout
from tidemill.storage.db.engine import Database

MOST_LOOKS = 400
"""When there are more, every other one of the older half is forgotten."""


class Looks:
    """The looks at rollouts' evidence.

    Args:
        db: The database.
        journal: Where new verdicts are written down.
        clock: Dates looks.
    """

    def __init__(self, db: Database, journal: Journal, clock: Clock) -> None:
        self._db = db
        self._journal = journal
        self._clock = clock
        self._said: dict[str, tuple[str, str, tuple[str, ...]]] = {}

    def of(self, rollout: str) -> list[Look]:
        """Return the looks at a rollout's evidence, oldest first."""
        with self._db.read() as connection:
            return store.read_looks(connection, rollout)

    def record(self, rollout: Rollout, verdict: Verdict, *, actor: str) -> None:
        """Keep a look where something has changed since the last, and a fact where the verdict has.

        Args:
            rollout: What was looked at.
            verdict: What was said of it.
            actor: Who looked.
        """
        look = Look(
            time=self._clock.now(),
            percent=rollout.percent,
            action=verdict.action,
            code=verdict.code,
            numbers=verdict.numbers,
        )

        def work(connection: Connection) -> None:
            known = store.read_looks(connection, rollout.id)
            last = known[-1] if known else None
            if last is None or _said(last) != _said(look):
                store.set_look(connection, rollout.id, look)
                half = known[: len(known) // 2 : 2] if len(known) > MOST_LOOKS else []
                store.drop_looks(connection, rollout.id, [each.time for each in half])
            if last is None or self._is_news(rollout.id, last, verdict):
                self._tell(connection, rollout, verdict, actor)

        self._db.write(work)
        self._said[rollout.id] = (verdict.action, verdict.code, _kinds(verdict))

    def _is_news(self, rollout: str, last: Look, verdict: Verdict) -> bool:
        known = self._said.get(rollout)
        if known is not None:
            return known != (verdict.action, verdict.code, _kinds(verdict))
        return (last.action, last.code) != (verdict.action, verdict.code)

    def _tell(self, connection: Connection, rollout: Rollout, verdict: Verdict, actor: str) -> None:
        event = RolloutJudged(
            rollout=rollout.id,
            endpoint=rollout.endpoint,
            version=rollout.candidate.version,
            action=verdict.action,
            code=verdict.code,
            reason=verdict.reason,
            findings=verdict.findings,
            numbers=verdict.numbers,
        )
        self._journal.append(
            connection, event, subject=Ref("endpoint", rollout.endpoint), actor=actor
        )


def _said(look: Look) -> tuple[float, str, str, dict[str, float]]:
    return look.percent, look.action, look.code, look.numbers


def _kinds(verdict: Verdict) -> tuple[str, ...]:
    """Return what findings are of, whatever their figures: the words before the first number."""
    return tuple(finding.partition(":")[0].partition(",")[0] for finding in verdict.findings)
