"""How the versions that share an endpoint's traffic fared, in sums by what was assigned whole.

Every request is given to a version by chance, or by its key. So requests and keys are what is
counted; the rows of one are not independent of each other.

A rollout is looked at again and again, and may be long. Each look counts what came or changed since
the look before, and writes the sums down with what every request was counted for, in the same
transactions. So a look costs what has changed, whatever the rollout has seen; rows that are
forgotten stay counted, and so they do where the process ends between two looks. Whoever was
interrupted counts some requests a second time, which takes out what was counted first. To keep the
sums in memory would write less, and lose with every restart what only forgotten rows had told.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from itertools import zip_longest

import msgspec
import numpy as np
import polars as pl
from numpy.typing import NDArray
from sqlalchemy import ColumnElement, Connection, select

from tidemill.core.clock import micros
from tidemill.models.records import Signature
from tidemill.monitoring import accounts, store
from tidemill.monitoring.accounts import Account
from tidemill.monitoring.answers import read_answers
from tidemill.monitoring.reference import Reference
from tidemill.monitoring.tally import Arm, Change, Cut, Plan, change, entries_of, keys_of
from tidemill.storage.db.engine import Database

Floats = NDArray[np.float64]
_MOST_USUAL = 20_000
_LEAST_USUAL = 200
_MOST_CLASSES = 20
_DECILES = tuple(i / 10 for i in range(1, 10))
_AT_ONCE = 1000
"""The requests of so many moments are counted in one transaction."""


class Arms:
    """Reads how versions fared on the traffic that each answered.

    Args:
        db: The database.
        signatures: Gives the signature of a model's version.
        references: Gives what was usual when a version was made, where it is known.
    """

    def __init__(
        self,
        db: Database,
        signatures: Callable[[str, int], Signature],
        references: Callable[[str, int], Reference | None],
    ) -> None:
        self._db = db
        self._signatures = signatures
        self._references = references
        self._counting = threading.Lock()

    def plan(self, account: str) -> Plan | None:
        """Return what an account counts, or nothing where it has not been opened."""
        with self._db.read() as connection:
            known = accounts.find(connection, account)
        return None if known is None else known.plan

    def read(
        self,
        account: str,
        endpoint: str,
        model: str,
        version: int,
        *,
        plan: Plan,
        steps: Sequence[datetime],
    ) -> Arm:
        """Return how a version fared since a rollout began.

        Args:
            account: What it is kept under from one look to the next.
            endpoint: Where.
            model: Of which model.
            version: Which.
            plan: What is counted; an account that counted something else is begun anew.
            steps: When each step of the rollout began.
        """
        scope = _Scope(endpoint, version, tuple(micros(s) for s in steps))
        with self._counting:
            known = self._opened(account, endpoint, plan)
            with self._db.read() as connection:
                newest = store.newest_touch(connection, endpoint, known.seen)
                oldest = store.first_time(connection, endpoint)
                times = _changed(connection, known, scope)
            if newest == known.seen and scope.steps == known.arm.steps:
                return known.arm
            arm = self._count(known, scope, self._signatures(model, version), times)
            arm = msgspec.structs.replace(arm, steps=scope.steps)
            kept = 2**62 if oldest is None else oldest
            self._db.write(lambda c: accounts.settle(c, known.number, arm, newest, kept))
            return arm

    def close_others(self, names: Collection[str]) -> None:
        """Let go of all accounts but some."""
        with self._db.read() as connection:
            over = accounts.others(connection, names)
        if over:
            with self._counting:
                for number in over:
                    self._remove(number)

    def usual_latency(self, endpoint: str, version: int, *, before: datetime) -> float | None:
        """Return the 99th percentile of a version's latency up to a moment, in milliseconds."""
        query = (
            select(store.rows.c.latency_us)
            .where(
                store.rows.c.endpoint == endpoint,
                store.rows.c.time < micros(before),
                store.rows.c.version == version,
                store.rows.c.role != "shadow",
                store.rows.c.status == "ok",
            )
            .order_by(store.rows.c.time.desc())
            .limit(_MOST_USUAL)
        )
        with self._db.read() as connection:
            found = list(connection.scalars(query))
        return None if len(found) < _LEAST_USUAL else float(np.quantile(found, 0.99)) / 1000

    def cuts(self, endpoint: str, model: str, version: int, *, before: datetime) -> list[Cut]:
        """Return how a version's answers are told apart, by what it answered before a moment.

        Its held-out rows say it best; then what it answered lately; probabilities need neither.
        """
        signature = self._signatures(model, version)
        if signature.task == "multiclass":
            named = signature.classes[:_MOST_CLASSES]
            return [Cut(f"answers of {c!r}", label=c) for c in named]
        known = self._known(endpoint, model, version, signature, before)
        what, edges = "values", np.zeros(0)
        if signature.task == "binary":
            what, edges = "scores", np.array(_DECILES)
        if len(known):
            edges = np.unique(np.quantile(known, _DECILES))
        return [Cut(f"{what} above {edge:.3g}", above=float(edge)) for edge in edges]

    def _opened(self, name: str, endpoint: str, plan: Plan) -> Account:
        """Return an account that counts what is asked for; opened before any row is read."""
        with self._db.read() as connection:
            known = accounts.find(connection, name)
        if known is not None and known.plan == plan:
            return known
        if known is not None:
            self._remove(known.number)

        def work(connection: Connection) -> Account | None:
            seen = store.newest_touch(connection, endpoint, 0)
            accounts.begin(connection, name, endpoint, plan, seen)
            return accounts.find(connection, name)

        opened = self._db.write(work)
        assert opened is not None
        return opened

    def _remove(self, number: int) -> None:
        while not self._db.write(lambda c: accounts.remove_some(c, number)):
            pass

    def _count(
        self, account: Account, scope: _Scope, signature: Signature, times: list[int]
    ) -> Arm:
        """Count the requests of some moments, a part in each transaction."""
        arm = account.arm
        for at in range(0, len(times), _AT_ONCE):
            some = times[at : at + _AT_ONCE]
            with self._db.read() as connection:
                rows = _rows_at(connection, scope, some)
                after = entries_of(signature, account.plan, rows, scope.steps)
                before = accounts.entries_at(connection, account.number, some)
                keys = accounts.keys_among(connection, account.number, keys_of(after))
            found = change(account.plan, arm, before, after, keys)
            self._enter(account.number, found)
            arm = found.arm
        return arm

    def _enter(self, number: int, found: Change) -> None:
        self._db.write(lambda c: accounts.enter(c, number, found))

    def _known(
        self, endpoint: str, model: str, version: int, signature: Signature, before: datetime
    ) -> Floats:
        """Return what a version is known to have answered."""
        name = "score" if signature.task == "binary" else "prediction"
        reference = self._references(model, version)
        rows = None if reference is None else reference.holdout
        if rows is None or name not in rows.columns or not rows.height:
            rows = self._rows(endpoint, version, until=micros(before), newest=_MOST_USUAL)
            rows = rows.filter(pl.col("status") == "ok")
        known = rows[name].drop_nulls().cast(pl.Float64, strict=False).drop_nulls()
        return known.to_numpy() if len(known) >= _LEAST_USUAL else np.zeros(0)

    def _rows(
        self,
        endpoint: str,
        version: int,
        *,
        since: int = 0,
        until: int = 2**62,
        newest: int | None = None,
    ) -> pl.DataFrame:
        """Return what a version answered, and no shadow of it."""
        rows = store.rows.c
        where = (rows.time >= since, rows.time < until, rows.version == version)
        with self._db.read() as connection:
            return read_answers(connection, endpoint, *where, rows.role != "shadow", newest=newest)


class _Scope(msgspec.Struct, frozen=True):
    """Which rows are counted: what a version answered since a rollout began, and no shadow."""

    endpoint: str
    version: int
    steps: tuple[int, ...]

    @property
    def mine(self) -> tuple[ColumnElement[bool], ...]:
        """What tells them, of whatever time."""
        return (store.rows.c.version == self.version, store.rows.c.role != "shadow")


def _changed(connection: Connection, known: Account, scope: _Scope) -> list[int]:
    """Return when the requests were made that are to be counted, or counted again.

    Where a step began since the last look, all that is dated after that may have been counted for
    the step before it; in a new account all steps are new.
    """
    rows = store.rows.c
    query = select(rows.time).where(rows.endpoint == scope.endpoint, *scope.mine).distinct()
    found = set(connection.scalars(query.where(rows.touched > known.seen)))
    pairs = zip_longest(scope.steps, known.arm.steps)
    again = next(
        (min(s for s in pair if s is not None) for pair in pairs if len({*pair}) > 1), None
    )
    if again is not None:
        found |= set(connection.scalars(query.where(rows.time >= again)))
    return sorted(time for time in found if time >= scope.steps[0])


def _rows_at(connection: Connection, scope: _Scope, times: list[int]) -> pl.DataFrame:
    """Return the rows of some moments, as `read_answers` does."""
    return read_answers(connection, scope.endpoint, *scope.mine, store.rows.c.time.in_(times))
