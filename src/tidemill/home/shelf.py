"""Puts models where they are opened, and says how each may be run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.core.digest import canonical
from tidemill.core.policy import Policy
from tidemill.core.references import Ref
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.blobs.records import TreeEntry
from tidemill.storage.blobs.trees import get_tree

if TYPE_CHECKING:
    from tidemill.models.records import Signature
    from tidemill.models.runtime.opening import Surroundings
    from tidemill.models.signing import Signer
    from tidemill.monitoring.reference import Reference
    from tidemill.monitoring.tasks import Source
    from tidemill.registry.records import ModelVersion
    from tidemill.registry.service import Registry
    from tidemill.serving.routes import Runtime
    from tidemill.tracking.service import Tracking


class Shelf:
    """The folders of a home in which bundles, code and artifacts lie written out.

    Args:
        path: The home.
        blobs: Where they are kept.
        policy: Says what may be loaded, and how much it may take.
        registry: Knows the versions; asked for when it is needed.
        tracking: Knows the artifacts; asked for when it is needed.
    """

    def __init__(
        self,
        path: Path,
        blobs: LocalBlobs,
        policy: Callable[[], Policy],
        registry: Callable[[], Registry],
        tracking: Callable[[], Tracking],
    ) -> None:
        self._path = path
        self._blobs = blobs
        self._policy = policy
        self._registry = registry
        self._tracking = tracking

    @property
    def bundles(self) -> Path:
        """Where workers read bundles."""
        return self._path / "bundles"

    @property
    def environments(self) -> Path:
        """Where the environments of models without a twin are built."""
        return self._path / "environments"

    def unpack(self, bundle: str) -> Path:
        """Return the folder of a stored bundle, where workers read it."""
        folder = self.bundles / bundle
        get_tree(self._blobs, bundle, folder)
        return folder

    def code(self, digest: str) -> Path:
        """Return a folder with the code that a run was made of."""
        folder = self._path / "code" / digest
        get_tree(self._blobs, digest, folder)
        return folder

    def artifacts(self, run_id: str, prefix: str) -> Path:
        """Return a folder with a run's artifacts below a path."""
        known = self._tracking().artifacts(run_id, prefix)
        entries = [TreeEntry(a.path, a.digest, a.size) for a in known]
        return self.code(self._blobs.put(canonical(entries)).digest)

    def prepare(self, model: str, bundle: str) -> None:
        """Bring a bundle to where workers read it, with the environment that it needs.

        Raises:
            EnvironmentNotBuilt: Its environment cannot be built.
            NotTrusted: The policy forbids to load it.
        """
        from tidemill.models.runtime.environments import Environments
        from tidemill.models.runtime.model import prepare

        how = self.surroundings(model)
        environments = Environments(how.environments)
        prepare(self.unpack(bundle), environments, trust=how.trust, keys=how.keys)

    def surroundings(self, model: str) -> Surroundings:
        """Return how a model is run outside of the workers where it has no twin."""
        from tidemill.models.runtime.limits import Limits
        from tidemill.models.runtime.opening import Surroundings

        policy = self._policy().models.get(model)
        if policy is None:
            return Surroundings(environments=self.environments)
        return Surroundings(
            environments=self.environments,
            limits=Limits.of(policy.runtime),
            trust=policy.trust,
            keys=(self.signer().public,) if policy.trust == "signed" else (),
        )

    def runtimes(self) -> dict[str, Runtime]:
        """Return how workers run models without a twin, by endpoint."""
        from tidemill.serving.routes import Runtime

        found = {}
        for name, policy in self._policy().models.items():
            how = self.surroundings(name)
            endpoint = policy.serving.endpoint or name
            found[endpoint] = Runtime(trust=how.trust, keys=tuple(how.keys), limits=how.limits)
        return found

    def signer(self) -> Signer:
        """Return what signs bundles with the home's key."""
        from tidemill.models.signing import Signer

        return Signer.open(self._path / "keys" / "signing.pem")

    def signature(self, model: str, version: int) -> Signature:
        """Return the columns and outputs of a version."""
        from tidemill.models.bundle import open_bundle

        registered = self._version(model, version)
        return open_bundle(self.unpack(registered.packed), verify=False).signature

    def reference(self, model: str, version: int) -> Reference | None:
        """Return what the monitor holds the traffic of a version against."""
        from tidemill.monitoring.reference import read_reference

        registered = self._version(model, version)
        return read_reference(self.unpack(registered.packed), registered.metrics)

    def reference_source(self, model: str, version: int) -> Source | None:
        """Return where the reference of a version is read from."""
        from tidemill.monitoring.tasks import Source

        registered = self._version(model, version)
        return Source(str(self.unpack(registered.packed)), registered.metrics)

    def _version(self, model: str, version: int) -> ModelVersion:
        return self._registry().version(Ref("model", model, str(version)))
