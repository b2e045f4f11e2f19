"""The policy: what `tidemill.toml` says, as frozen records, and the reader that checks it."""

from tidemill.core.policy.records import (
    AlertPolicy,
    AlertRule,
    BacktestPolicy,
    DatasetPolicy,
    GateRule,
    HealthPolicy,
    ModelPolicy,
    MonitorPolicy,
    Policy,
    RetrainPolicy,
    RolloutPolicy,
    RoutePolicy,
    RuntimePolicy,
    ServingPolicy,
    SinkPolicy,
)

__all__ = [
    "AlertPolicy",
    "AlertRule",
    "BacktestPolicy",
    "DatasetPolicy",
    "GateRule",
    "HealthPolicy",
    "ModelPolicy",
    "MonitorPolicy",
    "Policy",
    "RetrainPolicy",
    "RolloutPolicy",
    "RoutePolicy",
    "RuntimePolicy",
    "ServingPolicy",
    "SinkPolicy",
]
