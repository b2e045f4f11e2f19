"""A bundle without a twin, ready to answer from processes of its own.

The same verbs as `OnnxModel`, so that whatever asks a model need not know which kind it has.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tidemill.core.clock import Clock
from tidemill.models.bundle import open_bundle
from tidemill.models.errors import BundleDamaged, NotTrusted
from tidemill.models.inputs import Columns, Encoder
from tidemill.models.protocol import Trust
from tidemill.models.records import Manifest
from tidemill.models.runtime.environments import Environments
from tidemill.models.runtime.limits import Limits
from tidemill.models.runtime.lock import Lock, read_lock
from tidemill.models.runtime.pool import Pool, PoolState
from tidemill.models.session import Prediction, read_answer
from tidemill.models.signing import PublicKey, verify_bundle

_CALL_ROWS = 10_000


class RuntimeModel:
    """A bundle whose original answers, in its own environment.

    Args:
        folder: The bundle.
        environments: Where its environment has been built.
        trust: Whether a pickle may be loaded, see `load_original`; it is loaded in the child.
        keys: Whose signatures count.
        limits: How many processes, and what they may use.
        clock: Tells durations.
        verify: Whether every file is checked against the manifest first.
        refuse_out_of_contract: Whether values outside the contract are refused.

    Raises:
        BundleDamaged: A file is not the one that the manifest names, or there is no original.
        NotTrusted: The policy forbids to load it.
        NotSigned: The policy demands a signature, and there is none that counts.
        EnvironmentNotBuilt: Its environment is not there.
        ModelNotLoaded: A process could not load it.
    """

    def __init__(
        self,
        folder: Path,
        *,
        environments: Environments,
        trust: Trust,
        clock: Clock,
        limits: Limits | None = None,
        keys: Sequence[PublicKey] = (),
        verify: bool = True,
        refuse_out_of_contract: bool = True,
    ) -> None:
        self.manifest = open_bundle(folder, verify=verify)
        check_trust(folder, self.manifest, trust, keys)
        self.signature = self.manifest.signature
        self.encoder = Encoder(self.signature, refuse_out_of_contract=refuse_out_of_contract)
        self._read = read_answer(self.signature)
        python = environments.built(read_lock(folder), name=self.manifest.name)
        self.pool = Pool(python, folder, self.manifest, limits or Limits(), clock)

    def predict(self, columns: Columns) -> Prediction:
        """Answer for the rows of a request.

        Raises:
            InvalidInput: The columns do not fit the signature.
            ModelsError: The model raised, or its process ended.
        """
        matrices, rows = self.encoder.encode(columns)
        parts = [
            self.pool.ask([m[at : at + _CALL_ROWS] for m in matrices], min(_CALL_ROWS, rows - at))
            for at in range(0, rows, _CALL_ROWS)
        ]
        return self.read(np.concatenate(parts))

    def read(self, answer: NDArray[np.float64]) -> Prediction:
        """Return what the pool answered as labels and scores."""
        return self._read(answer)

    def state(self) -> PoolState:
        """Tell how its processes fare."""
        return self.pool.state()

    def close(self) -> None:
        """Answer what is waiting, and end the processes."""
        self.pool.close()

    def __enter__(self) -> RuntimeModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def check_trust(
    folder: Path, manifest: Manifest, trust: Trust, keys: Sequence[PublicKey] = ()
) -> None:
    """Return if a bundle's original may be loaded, in whichever process.

    Raises:
        BundleDamaged: It has no original.
        NotTrusted: It is a pickle, and the policy forbids to load any.
        NotSigned: The policy demands a signature, and there is none that counts.
    """
    if manifest.original is None or manifest.saved_as is None:
        raise BundleDamaged(f"The bundle of {manifest.name!r} has neither a twin nor an original.")
    if manifest.saved_as not in {"pickle", "mlflow"}:
        return
    if trust == "never":
        raise NotTrusted(
            f"The model {manifest.name!r} is a pickle, or may be, and loading it would run its "
            "author's code.",
            expected='trust = "own" in the policy, or "signed" and a signature',
            hint="A model with an ONNX twin needs no trust.",
        )
    if trust == "signed":
        verify_bundle(folder, keys)


def prepare(
    folder: Path,
    environments: Environments,
    *,
    trust: Trust = "own",
    keys: Sequence[PublicKey] = (),
) -> Lock | None:
    """Make ready what a bundle needs to be served; before any traffic goes there.

    Returns:
        What its environment was built from; nothing for a bundle with a twin.

    Raises:
        EnvironmentNotBuilt: Its environment cannot be built.
        NotTrusted: The policy forbids to load it.
        NotSigned: The policy demands a signature, and there is none that counts.
    """
    manifest = open_bundle(folder, verify=False)
    if manifest.twin is not None:
        return None
    check_trust(folder, manifest, trust, keys)
    lock = read_lock(folder)
    environments.build(lock, name=manifest.name)
    return lock
