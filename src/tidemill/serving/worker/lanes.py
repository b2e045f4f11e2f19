"""What is known of a version at an endpoint before any request comes, so that none looks it up."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tidemill.predictions.writer import RecordWriter
from tidemill.serving.routes import RouteTarget
from tidemill.serving.worker.batching import Queue
from tidemill.serving.worker.counting import Metrics, Served
from tidemill.serving.worker.entries import Subject
from tidemill.serving.worker.log import Log
from tidemill.serving.worker.table import Endpoint
from tidemill.serving.worker.version import Version


class Lane:
    """One version in its role at one endpoint.

    Attributes:
        endpoint: The endpoint.
        target: Which version, and its role.
        version: The loaded version.
        queue: What stands before it.
        served: What is counted of it.
    """

    __slots__ = ("_log", "_subject", "_writer", "endpoint", "queue", "served", "target", "version")

    def __init__(
        self,
        endpoint: Endpoint,
        target: RouteTarget,
        queue: Queue,
        served: Served,
        log: Log,
    ) -> None:
        self.endpoint = endpoint
        self.target = target
        self.version = endpoint.versions[target.version]
        self.queue = queue
        self.served = served
        self._log = log
        self._subject: Subject | None = None
        self._writer: RecordWriter | None = None

    @property
    def subject(self) -> Subject:
        """What its records share; made with the first, which may have to make the hashes' key."""
        if self._subject is None:
            target, routes = self.target, self.endpoint.routes
            self._subject = Subject(
                target.model,
                target.version,
                target.role,
                weight=1.0 / routes.log,
                inputs=self.version.inputs,
                redaction=self._log.redactions.of(routes.redact) if routes.redact else None,
            )
        return self._subject

    @property
    def writer(self) -> RecordWriter:
        """What writes its answers into the log; begun with the first."""
        if self._writer is None:
            self._writer = self._log.of(self.endpoint.name)
        return self._writer


class Lanes:
    """The lanes of one endpoint.

    Args:
        endpoint: The endpoint.
        queues: What stands before each version.
        metrics: What is counted.
        log: Where answers go.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        queues: Callable[[Version], Queue],
        metrics: Metrics,
        log: Log,
    ) -> None:
        self.endpoint = endpoint
        self.of: Mapping[int, Lane] = {
            target.version: Lane(
                endpoint,
                target,
                queues(endpoint.versions[target.version]),
                metrics.served(endpoint.name, target.version, target.role),
                log,
            )
            for target in endpoint.routes.targets
        }
        self.champion = self.of[endpoint.champion.version]
        self.shadows = tuple(self.of[target.version] for target in endpoint.shadows)
        self.whole = None if endpoint.is_split else self.champion
        """Where every request goes that names no version; nothing where a canary has a share."""
