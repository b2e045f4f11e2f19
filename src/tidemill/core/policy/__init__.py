"""The policy: what `tidemill.toml` says, as frozen records, and the reader that checks it."""

from tidemill.core.policy.records import (
    AlertPolicy,
    DatasetPolicy,
    GateRule,
    ModelPolicy,
    MonitorPolicy,
    Policy,
    RetrainPolicy,
    RolloutPolicy,
    ServingPolicy,
)

__all__ = [
    "AlertPolicy",
    "DatasetPolicy",
    "GateRule",
    "ModelPolicy",
    "MonitorPolicy",
    "Policy",
    "RetrainPolicy",
    "RolloutPolicy",
    "ServingPolicy",
]
