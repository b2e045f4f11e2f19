"""What the workers' prediction log lost, read off their metrics."""

from __future__ import annotations

import httpx
from prometheus_client.parser import text_string_to_metric_families

_SECONDS = 5.0
_LOST = "tidemill_log_dropped_total"


def lost(serving: str) -> dict[str, int]:
    """Return how many records were lost by endpoint; nothing where no worker answers.

    Args:
        serving: Where the workers answer.
    """
    try:
        text = httpx.get(f"{serving}/metrics", timeout=_SECONDS).text
    except httpx.HTTPError:
        return {}
    return {
        sample.labels["endpoint"]: int(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == _LOST and "endpoint" in sample.labels
    }
