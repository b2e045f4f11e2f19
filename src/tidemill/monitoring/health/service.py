"""Takes samples, keeps them, says what is too much, and tells of any stretch of the past month."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime

from sqlalchemy import Connection

from tidemill.core.clock import Clock
from tidemill.core.policy import HealthPolicy
from tidemill.core.references import Ref
from tidemill.monitoring.episodes import Episodes
from tidemill.monitoring.health import rings
from tidemill.monitoring.health.limits import Trouble, judge
from tidemill.monitoring.health.records import Health, Point, Series, Stretch, added
from tidemill.monitoring.health.sampling import Sampler
from tidemill.monitoring.records import Finding
from tidemill.storage.db.engine import Database

MACHINE = Ref("machine", "local")
MOST_POINTS = 400
_UNITS = dict.fromkeys(("memory", "free", "limit", "needed"), "bytes")
_SHARES = frozenset({"machine/cpu", "machine/memory", "machine/load", "disk/used"})
_QUANTILES = (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
ModelOf = Callable[[str], tuple[str, int]]


class HealthWatch:
    """Watches the machine and the processes of a home.

    Args:
        db: The database.
        clock: Tells when a sample was taken.
        episodes: Says what is wrong, once.
        policy: Gives the limits as they are now.
        served: Gives the model and version behind an endpoint.
    """

    def __init__(
        self,
        db: Database,
        clock: Clock,
        episodes: Episodes,
        policy: Callable[[], HealthPolicy],
        served: ModelOf,
    ) -> None:
        self._db = db
        self._clock = clock
        self._episodes = episodes
        self._policy = policy
        self._served = served

    def take(self, sampler: Sampler) -> list[Finding]:
        """Take a sample, keep it, and say what is too much or no longer is."""
        finest = rings.RINGS[0].seconds
        since = int(self._clock.now().timestamp()) // finest * finest
        stretch = sampler.sample(since, finest)

        def work(connection: Connection) -> None:
            rings.keep(connection, stretch)

        self._db.write(work)
        return self._judge(since + finest)

    def tell(self, since: datetime | None = None, until: datetime | None = None) -> Health:
        """Tell how everything fared; over the last hour where nothing is said.

        The finest ring that reaches back as far is read, and points are joined where there are
        more than a picture shows.
        """
        now = int(self._clock.now().timestamp())
        end = now + 1 if until is None else int(until.timestamp())
        begin = now - 3600 if since is None else int(since.timestamp())
        ring = next((r for r in rings.RINGS if now - begin <= r.reach), rings.RINGS[-1])
        begin = max(begin, now - rings.RINGS[-1].reach)
        with self._db.read() as connection:
            stretches = rings.read(connection, ring, begin // ring.seconds * ring.seconds, end)
        step = ring.seconds * max(1, -(-(end - begin) // (ring.seconds * MOST_POINTS)))
        return Health(
            since=datetime.fromtimestamp(begin, UTC),
            until=datetime.fromtimestamp(max(end, begin), UTC),
            seconds=step,
            series=tuple(_series(_stepped(stretches, step))),
            troubles=tuple(f.message for f in self._standing()),
        )

    def _judge(self, until: int) -> list[Finding]:
        policy = self._policy()
        ring = rings.RINGS[0]
        lasting = min(int(policy.lasting), ring.reach)
        with self._db.read() as connection:
            stretches = rings.read(connection, ring, until - lasting, until)
            hour = rings.read(connection, rings.RINGS[1], until - 3600, until)
        verdict = judge(stretches, policy, hour)
        begin = datetime.fromtimestamp(until - lasting, UTC)
        end = datetime.fromtimestamp(until, UTC)
        passed = {(t.endpoint, t.about) for t in verdict.troubles}
        said = [f for t in verdict.troubles if (f := self._begin(t, begin, end)) is not None]
        for known in self._standing():
            if (known.endpoint, known.about) not in passed and known.about in verdict.judged:
                message = f"No longer so since {end:%Y-%m-%d %H:%M}: {known.message}"
                self._episodes.end(_subject(known.endpoint), known.kind, known.about, message)
        return said

    def _begin(self, trouble: Trouble, since: datetime, until: datetime) -> Finding | None:
        model, version = self._served(trouble.endpoint) if trouble.endpoint else ("", 0)
        finding = Finding(
            kind=trouble.kind,
            severity=trouble.severity,
            endpoint=trouble.endpoint,
            model=model,
            version=version,
            since=since,
            until=until,
            message=trouble.message,
            numbers=trouble.numbers,
            about=trouble.about,
        )
        return finding if self._episodes.begin(_subject(trouble.endpoint), finding) else None

    def _standing(self) -> list[Finding]:
        found = self._episodes.standing()
        return [f for f in found if f.kind == "health" or f.about == "refused"]


def _subject(endpoint: str) -> Ref:
    return Ref("endpoint", endpoint) if endpoint else MACHINE


def _stepped(stretches: Sequence[Stretch], step: int) -> list[Stretch]:
    groups: dict[int, list[Stretch]] = {}
    for stretch in stretches:
        groups.setdefault(stretch.since // step * step, []).append(stretch)
    # A rate is told over the time that was watched, not over what a restart left out.
    return [added(group, s, sum(g.seconds for g in group)) for s, group in groups.items()]


def _series(stretches: Sequence[Stretch]) -> Iterator[Series]:
    for name in _names([s.gauges for s in stretches]):
        read = [s.gauges.get(name) for s in stretches]
        points = [
            Point(s.since, None) if g is None else Point(s.since, g.mean, g.high)
            for s, g in zip(stretches, read, strict=True)
        ]
        subject, _, figure = name.rpartition("/")
        unit = "share" if name in _SHARES else _UNITS.get(figure, "many")
        yield Series(subject=subject, figure=figure, unit=unit, points=tuple(points))
    for name in _names([s.counts for s in stretches]):
        points = [Point(s.since, s.counts.get(name, 0.0) / s.seconds) for s in stretches]
        subject, _, figure = name.rpartition("/")
        yield Series(subject=subject, figure=figure, unit="per second", points=tuple(points))
    for name in _names([s.durations for s in stretches]):
        subject, _, figure = name.rpartition("/")
        taken = [s.durations.get(name) for s in stretches]
        for word, share in _QUANTILES:
            points = [
                Point(s.since, None if h is None else h.quantile(share))
                for s, h in zip(stretches, taken, strict=True)
            ]
            title = word if figure == "latency" else f"{figure} {word}"
            yield Series(subject=subject, figure=title, unit="seconds", points=tuple(points))


def _names(parts: Sequence[Mapping[str, object]]) -> list[str]:
    return sorted({name for part in parts for name in part})
