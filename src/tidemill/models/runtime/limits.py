"""What a model's processes may use."""

from __future__ import annotations

import msgspec

from tidemill.core.policy import RuntimePolicy


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """How a model runs in processes of its own.

    Attributes:
        processes: How many answer beside each other, in each worker.
        threads: How many threads a library may use in one of them.
        memory: The most bytes that one may use; 0 for no limit.
        call_seconds: After how long without an answer a process counts as hanging.
        start_seconds: How long it may take to load the model.
        waiting_rows: How many rows may wait before requests are refused.
    """

    processes: int = 1
    threads: int = 1
    memory: int = 4 << 30
    call_seconds: float = 30.0
    start_seconds: float = 120.0
    waiting_rows: int = 10_000

    @classmethod
    def of(cls, policy: RuntimePolicy) -> Limits:
        """Return what the policy says."""
        return cls(
            processes=policy.processes,
            threads=policy.threads,
            memory=policy.memory_mb << 20,
            call_seconds=policy.timeout,
            start_seconds=policy.start_timeout,
            waiting_rows=policy.waiting_rows,
        )

    @property
    def cpu_seconds(self) -> float:
        """The most processor time of one call: what all threads can use until it counts as hung."""
        return self.call_seconds * self.threads + 1.0
