"""Opens a bundle as whichever kind of version it can be, and puts a queue before it."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from pathlib import Path

import msgspec

from tidemill.core.clock import Clock
from tidemill.models.bundle import open_bundle
from tidemill.models.runtime.environments import Environments
from tidemill.serving.routes import EndpointRoutes, RouteTarget
from tidemill.serving.worker.batching import Batcher, Queue
from tidemill.serving.worker.child import ChildQueue, ChildVersion
from tidemill.serving.worker.version import TwinVersion, Version


class Places(msgspec.Struct, frozen=True):
    """Where a worker finds models.

    Attributes:
        bundles: The folder of unpacked bundles.
        environments: The folder of environments, for models without a twin.
    """

    bundles: Path
    environments: Path


def open_version(
    places: Places, target: RouteTarget, routes: EndpointRoutes, clock: Clock
) -> Version:
    """Load a version and warm it up.

    Raises:
        TidemillError: The bundle is missing or damaged, or the model cannot be loaded.
    """
    folder = places.bundles / target.bundle
    strict = routes.validate == "refuse"
    if open_bundle(folder, verify=False).twin is not None:
        return TwinVersion(folder, target, clock, refuse_out_of_contract=strict)
    return ChildVersion(
        folder,
        target,
        clock,
        environments=Environments(places.environments),
        runtime=routes.runtime,
        refuse_out_of_contract=strict,
    )


def queue_before(version: Version, loop: asyncio.AbstractEventLoop, executor: Executor) -> Queue:
    """Return what gathers the requests for a version."""
    if isinstance(version, ChildVersion):
        return ChildQueue(version, loop)
    assert isinstance(version, TwinVersion)
    return Batcher(version, loop, executor)
