"""What the workers' prediction log lost, among all that they counted."""

from __future__ import annotations

from tidemill.serving.worker.metrics import Snapshot

_LOST = "tidemill_log_dropped_total"


def lost(counted: Snapshot) -> dict[str, int]:
    """Return how many records were lost by endpoint.

    Args:
        counted: What all workers counted.

    Example:
        >>> from tidemill.serving.worker.metrics import Sample
        >>> samples = [Sample(_LOST, (("endpoint", "delay"),), 3.0), Sample("other", (), 1.0)]
        >>> lost(Snapshot(samples, []))
        {'delay': 3}
    """
    found: dict[str, int] = {}
    for sample in counted.samples:
        endpoint = dict(sample.labels).get("endpoint")
        if sample.name == _LOST and endpoint is not None:
            found[endpoint] = found.get(endpoint, 0) + int(sample.value)
    return found
