"""What the workers count of each version, asked of the workers themselves.

It is exact whatever share of the requests is logged, and seconds old at most.
"""

from __future__ import annotations

from collections.abc import Mapping
from http.client import HTTPConnection, HTTPException
from typing import NamedTuple
from urllib.parse import urlsplit

from tidemill.serving.evidence import Counts
from tidemill.serving.worker.metrics import BUCKETS

_REQUESTS = "tidemill_requests_total"
_SECONDS = "tidemill_request_seconds_bucket"
_TIMEOUT = 5.0


class Counter(NamedTuple):
    """Whose requests are counted."""

    endpoint: str
    version: int
    role: str


def ask_workers(url: str) -> Mapping[Counter, Counts]:
    """Return what all workers have counted since each was started; nothing where none answers.

    Args:
        url: Where the workers listen.
    """
    connection = HTTPConnection(urlsplit(url).netloc, timeout=_TIMEOUT)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode()
    except (OSError, HTTPException):
        return {}
    finally:
        connection.close()
    return read_counters(text) if answer.status == 200 else {}


def read_counters(text: str) -> dict[Counter, Counts]:
    """Read the workers' metrics.

    Example:
        >>> of = 'tidemill_requests_total{endpoint="e",version="2",role="canary",status='
        >>> text = f"# TYPE tidemill_requests_total counter\\n{of}'ok'}} 7\\n{of}'error'}} 1\\n"
        >>> text = text.replace("'", '"')
        >>> found = read_counters(text)[Counter("e", 2, "canary")]
        >>> found.requests, found.errors
        (8, 1)
    """
    from prometheus_client.parser import text_string_to_metric_families

    requests: dict[Counter, dict[str, int]] = {}
    below: dict[Counter, dict[float, int]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name not in (_REQUESTS, _SECONDS):
                continue
            labels = sample.labels
            key = Counter(labels["endpoint"], int(labels["version"]), labels["role"])
            if sample.name == _REQUESTS:
                requests.setdefault(key, {})[labels["status"]] = int(sample.value)
            else:
                below.setdefault(key, {})[float(labels["le"])] = int(sample.value)
    return {
        key: Counts(
            requests=sum(counts.values()),
            errors=counts.get("error", 0),
            latencies=_apart(below.get(key, {})),
        )
        for key, counts in requests.items()
    }


def _apart(below: Mapping[float, int]) -> tuple[int, ...]:
    """Return how many lie between edges, of how many lie below each."""
    if not below:
        return ()
    heights = [below.get(edge, 0) for edge in (*BUCKETS, float("inf"))]
    return tuple(high - low for low, high in zip((0, *heights), heights, strict=False))
