"""Opens any bundle to be asked outside of the data plane: its twin, or processes of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tidemill.core.clock import Clock
from tidemill.models.bundle import open_bundle
from tidemill.models.protocol import Trust
from tidemill.models.runtime.environments import Environments
from tidemill.models.runtime.limits import Limits
from tidemill.models.runtime.model import RuntimeModel, prepare
from tidemill.models.session import OnnxModel
from tidemill.models.signing import PublicKey

Answering = OnnxModel | RuntimeModel
_ALL_ROWS = 1 << 62
"""Whoever opens a model to ask it waits for the answer; there is nobody to turn away."""


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a model without a twin is run with; one with a twin needs nothing of it.

    Attributes:
        environments: The folder of environments; a missing one is built there.
        limits: What its processes may use.
        trust: Whether a pickle may be loaded in them.
        keys: Whose signatures count, where it says `signed`.
    """

    environments: Path
    limits: Limits = Limits()
    trust: Trust = "own"
    keys: Sequence[PublicKey] = ()


@contextmanager
def answering(
    folder: Path,
    surroundings: Surroundings,
    *,
    clock: Clock,
    verify: bool = True,
    refuse_out_of_contract: bool = True,
) -> Iterator[Answering]:
    """Open a bundle, ask it, and let go of it: a sandbox is gone with the block.

    Args:
        folder: The bundle.
        surroundings: What a model without a twin is run with.
        clock: Tells durations.
        verify: Whether every file is checked against the manifest first.
        refuse_out_of_contract: Whether values outside the contract are refused.

    Raises:
        BundleDamaged: A file is not the one that the manifest names.
        EnvironmentNotBuilt: The environment cannot be built.
        ModelNotLoaded: The model cannot be loaded in it.
        NotTrusted: The policy forbids to load it.
        NotSigned: The policy demands a signature, and there is none that counts.
    """
    if open_bundle(folder, verify=False).twin is not None:
        yield OnnxModel(folder, verify=verify, refuse_out_of_contract=refuse_out_of_contract)
        return
    environments = Environments(surroundings.environments)
    prepare(folder, environments, trust=surroundings.trust, keys=surroundings.keys)
    with RuntimeModel(
        folder,
        environments=environments,
        trust=surroundings.trust,
        keys=surroundings.keys,
        limits=msgspec.structs.replace(surroundings.limits, waiting_rows=_ALL_ROWS),
        clock=clock,
        verify=verify,
        refuse_out_of_contract=refuse_out_of_contract,
    ) as model:
        yield model
