"""Looks after the prediction log: has it compacted, lets old days go, and says what was lost.

Compaction runs in a process of its own, which may be killed at any moment; nobody waits for it.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import msgspec

from tidemill.core.clock import Clock
from tidemill.core.events import Event
from tidemill.core.policy import ServingPolicy
from tidemill.core.references import Ref
from tidemill.journal.service import Journal
from tidemill.predictions.segments import KINDS, endpoints, is_due
from tidemill.upkeep.events import LogCompacted, LogDamaged, LogExpired, PredictionsLost
from tidemill.upkeep.records import Compaction, Departure

ACTOR = "upkeep"
_EVERY = timedelta(hours=1)


class Keeper:
    """Looks after the prediction log.

    Args:
        predictions: The log's folder.
        policies: Says how each endpoint is served, by name.
        journal: Where what was done and lost is written down.
        clock: Says how old predictions are.
        machine: Says how long files have waited: the machine's clock, never a simulated one.
    """

    def __init__(
        self,
        predictions: Path,
        policies: Callable[[], Mapping[str, ServingPolicy]],
        journal: Journal,
        clock: Clock,
        machine: Clock,
    ) -> None:
        self._predictions = predictions
        self._policies = policies
        self._journal = journal
        self._clock = clock
        self._machine = machine
        self._compactor: subprocess.Popen[bytes] | None = None
        self._expired = machine.now() - _EVERY
        self._lost: dict[str, int] = {}

    def tend(self) -> None:
        """Do what is due, and wait for nothing. Called again and again."""
        self._follow_compactor()
        if self._machine.now() - self._expired >= _EVERY:
            self._expired = self._machine.now()
            self.expire()

    def notice(self, lost: Mapping[str, int]) -> None:
        """Write down what workers could not log since the last time.

        Args:
            lost: How many records were lost by endpoint, since the workers were started.
        """
        for endpoint, count in lost.items():
            more = count - self._lost.get(endpoint, 0)
            if more > 0:
                self._write(endpoint, PredictionsLost(endpoint=endpoint, records=more))
            # Only afterwards: where the journal cannot be written either, it is said later.
            self._lost[endpoint] = count

    def compact(self, endpoint: str | None = None) -> tuple[Compaction, ...]:
        """Compact everything that is sealed, and return when that is done.

        Args:
            endpoint: Only this one.
        """
        chosen = () if endpoint is None else ("--endpoint", endpoint)
        with self._started(*chosen) as process:
            said, _ = process.communicate()
        return self._taken(said)

    def expire(self, *, dry: bool = False) -> tuple[Departure, ...]:
        """Let go what policies do not keep.

        Args:
            dry: Whether only to look.
        """
        from tidemill.predictions.retention import Keep, expire

        found = []
        for endpoint in endpoints(self._predictions):
            policy = self._policies().get(endpoint, ServingPolicy())
            age = None if policy.log_keep is None else timedelta(seconds=policy.log_keep)
            before = None if age is None else self._clock.now() - age
            keep = Keep(before=before, most_bytes=policy.log_size)
            gone = expire(self._predictions, endpoint, keep, dry=dry)
            if gone.days:
                departure = msgspec.convert(gone, Departure, from_attributes=True)
                found.append(departure)
                if not dry:
                    self._write(endpoint, LogExpired(departure=departure))
        return tuple(found)

    def close(self) -> None:
        """End the compactor; the next one goes on where it was."""
        if self._compactor is not None:
            self._compactor.kill()
            self._compactor.communicate()
            self._compactor = None

    def _follow_compactor(self) -> None:
        process = self._compactor
        if process is None:
            now = self._machine.now().timestamp()
            if any(
                is_due(self._predictions, endpoint, kind, now)
                for endpoint in endpoints(self._predictions)
                for kind in KINDS
            ):
                self._compactor = self._started("--due")
        elif process.poll() is not None:
            said, _ = process.communicate()
            self._compactor = None
            self._taken(said)

    def _started(self, *options: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tidemill.predictions", str(self._predictions), *options]
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)

    def _taken(self, said: bytes) -> tuple[Compaction, ...]:
        """Write down what the compactor said it did."""
        done = tuple(msgspec.json.decode(line, type=Compaction) for line in said.splitlines())
        for compaction in done:
            self._write(compaction.endpoint, LogCompacted(compaction=compaction))
            if compaction.aside:
                damaged = LogDamaged(endpoint=compaction.endpoint, files=compaction.aside)
                self._write(compaction.endpoint, damaged)
        return done

    def _write(self, endpoint: str, event: Event) -> None:
        self._journal.record(event, subject=Ref("endpoint", endpoint), actor=ACTOR)
