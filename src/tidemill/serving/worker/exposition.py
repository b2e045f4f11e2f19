"""Counts as Prometheus reads them: under our names, and under those that boards for others ask for.

References:
    https://prometheus.io/docs/instrumenting/exposition_formats/
    https://github.com/kserve/kserve/blob/master/python/kserve/README.md#metrics
    https://docs.nvidia.com/deeplearning/triton-inference-server/user-guide/docs/user_guide/metrics.html
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from tidemill.serving.worker.metrics import (
    BUCKETS,
    FAMILIES,
    Distribution,
    Family,
    Labels,
    Sample,
    Snapshot,
    total,
)


class _Stage(msgspec.Struct, frozen=True):
    """Where others have a name for one of our stages."""

    ours: str
    kserve: Family | None
    triton: Family | None


_MODEL = ("model", "version")
_STAGES = (
    _Stage(
        "tidemill_request_seconds",
        None,
        Family(
            "nv_inference_request_duration_us",
            "counter",
            "tidemill_request_seconds, in all and in microseconds, as Triton names it.",
            _MODEL,
        ),
    ),
    _Stage(
        "tidemill_decode_seconds",
        Family(
            "request_preprocess_seconds",
            "histogram",
            "tidemill_decode_seconds as KServe names it.",
            ("model_name",),
        ),
        Family(
            "nv_inference_compute_input_duration_us",
            "counter",
            "tidemill_decode_seconds, in all and in microseconds, as Triton names it.",
            _MODEL,
        ),
    ),
    _Stage(
        "tidemill_queue_seconds",
        None,
        Family(
            "nv_inference_queue_duration_us",
            "counter",
            "tidemill_queue_seconds, in all and in microseconds, as Triton names it.",
            _MODEL,
        ),
    ),
    _Stage(
        "tidemill_inference_seconds",
        Family(
            "request_predict_seconds",
            "histogram",
            "tidemill_inference_seconds as KServe names it.",
            ("model_name",),
        ),
        Family(
            "nv_inference_compute_infer_duration_us",
            "counter",
            "tidemill_inference_seconds, in all and in microseconds, as Triton names it.",
            _MODEL,
        ),
    ),
    _Stage(
        "tidemill_encode_seconds",
        Family(
            "request_postprocess_seconds",
            "histogram",
            "tidemill_encode_seconds as KServe names it.",
            ("model_name",),
        ),
        Family(
            "nv_inference_compute_output_duration_us",
            "counter",
            "tidemill_encode_seconds, in all and in microseconds, as Triton names it.",
            _MODEL,
        ),
    ),
)
_COUNTS = {
    ("tidemill_requests_total", "ok"): Family(
        "nv_inference_request_success",
        "counter",
        "Requests that were answered, as Triton names it.",
        _MODEL,
    ),
    ("tidemill_requests_total", "error"): Family(
        "nv_inference_request_failure",
        "counter",
        "Requests that a version failed to answer, as Triton names it.",
        _MODEL,
    ),
    ("tidemill_rows_total", ""): Family(
        "nv_inference_count", "counter", "Rows, as Triton names it.", _MODEL
    ),
    ("tidemill_batches_total", ""): Family(
        "nv_inference_exec_count", "counter", "Calls of a model, as Triton names it.", _MODEL
    ),
}
FOREIGN = (
    *(s.kserve for s in _STAGES if s.kserve is not None),
    *(s.triton for s in _STAGES if s.triton is not None),
    *_COUNTS.values(),
)
"""The names of others that are told beside ours."""


def text(found: Snapshot) -> str:
    """Return counts in Prometheus' text format.

    Example:
        >>> found = Snapshot([Sample("tidemill_labels_total", (("endpoint", "e"),), 2)], [])
        >>> print(text(found), end="")
        # HELP tidemill_labels_total Labels that were taken.
        # TYPE tidemill_labels_total counter
        tidemill_labels_total{endpoint="e"} 2
    """
    everything = total([found, foreign(found)])
    samples: dict[str, list[Sample]] = {}
    for sample in everything.samples:
        samples.setdefault(sample.name, []).append(sample)
    durations: dict[str, list[Distribution]] = {}
    for distribution in everything.distributions:
        durations.setdefault(distribution.name, []).append(distribution)
    lines: list[str] = []
    for family in (*FAMILIES, *FOREIGN):
        plain, buckets = samples.get(family.name), durations.get(family.name)
        if plain is None and buckets is None:
            continue
        lines += [
            f"# HELP {family.name} {family.sentence}",
            f"# TYPE {family.name} {family.kind}",
            *(f"{s.name}{_braces(s.labels)} {_number(s.value)}" for s in _ordered(plain or ())),
        ]
        for distribution in sorted(buckets or (), key=lambda d: d.labels):
            lines += _histogram(distribution)
    return "\n".join(lines) + "\n"


def foreign(found: Snapshot) -> Snapshot:
    """Return the same counts under the names of KServe and Triton."""
    samples: list[Sample] = []
    distributions: list[Distribution] = []
    for distribution in found.distributions:
        stage = next(s for s in _STAGES if s.ours == distribution.name)
        labels = dict(distribution.labels)
        if stage.kserve is not None:
            named = (("model_name", labels["endpoint"]),)
            counts, seconds = distribution.counts, distribution.sum
            distributions.append(Distribution(stage.kserve.name, named, counts, seconds))
        if stage.triton is not None:
            micros = float(round(distribution.sum * 1e6))
            samples.append(Sample(stage.triton.name, _model(labels), micros))
    for sample in found.samples:
        labels = dict(sample.labels)
        family = _COUNTS.get((sample.name, labels.get("status", "")))
        if family is not None:
            samples.append(Sample(family.name, _model(labels), sample.value))
    return total([Snapshot(samples, distributions)])


def _model(labels: dict[str, str]) -> Labels:
    return (("model", labels["endpoint"]), ("version", labels["version"]))


def _histogram(found: Distribution) -> list[str]:
    lines = []
    so_far = 0
    for limit, count in zip((*BUCKETS, "+Inf"), found.counts, strict=True):
        so_far += count
        inside = _braces((*found.labels, ("le", str(limit))))
        lines.append(f"{found.name}_bucket{inside} {so_far}")
    labels = _braces(found.labels)
    return [
        *lines,
        f"{found.name}_sum{labels} {_number(found.sum)}",
        f"{found.name}_count{labels} {so_far}",
    ]


def _ordered(samples: Iterable[Sample]) -> list[Sample]:
    return sorted(samples, key=lambda s: s.labels)


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.9g}"


def _braces(labels: Labels) -> str:
    if not labels:
        return ""
    inside = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return "{" + inside + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
