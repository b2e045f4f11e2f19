"""Finished traces as OpenTelemetry's spans, sent to a receiver from a thread of its own.

Imported only where an endpoint is named: OpenTelemetry is an extra, and by default nothing is sent
anywhere.

References:
    https://opentelemetry.io/docs/specs/otlp/#otlphttp
    https://opentelemetry.io/docs/specs/semconv/http/http-spans/
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from typing import Any

from opentelemetry import trace as api
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

import tidemill
from tidemill.core.clock import Clock
from tidemill.serving.worker.tracing import Finished, Traces

logger = logging.getLogger(__name__)
_BATCH = 256
_PAUSE = 0.5
_CLOSING_SECONDS = 5.0


class Exporter:
    """Takes finished traces, and sends them in batches.

    Args:
        traces: Where they are.
        clock: Tells when they were, on the wall.
        environment: The process's variables; the exporter reads OpenTelemetry's own.
        number: The worker's place among the others.
    """

    def __init__(
        self, traces: Traces, clock: Clock, environment: Mapping[str, str], number: int
    ) -> None:
        self._traces = traces
        self._clock = clock
        self._exporter = OTLPSpanExporter()
        self._ids = _Ids()
        self._made = _Made()
        provider = TracerProvider(
            sampler=ALWAYS_ON,
            resource=Resource.create(_resource(environment, number)),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        provider.add_span_processor(self._made)
        self._tracer = provider.get_tracer("tidemill", tidemill.__version__)
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._run, name="tidemill-spans", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Send what waits, within a few seconds, and stop."""
        self._closed.set()
        self._thread.join(_CLOSING_SECONDS)

    def _run(self) -> None:
        while not self._closed.wait(_PAUSE):
            self._drain()
        self._drain()
        self._exporter.shutdown()  # type: ignore[no-untyped-call,unused-ignore]

    def _drain(self) -> None:
        while finished := self._traces.take(_BATCH):
            # Both clocks are asked now: they drift apart, but not while a batch is made.
            offset = self._clock.now().timestamp() - self._clock.monotonic()
            for each in finished:
                self._make(each, _Wall(offset))
            self._send(self._made.taken())

    def _make(self, finished: Finished, wall: _Wall) -> None:
        """Make the spans of one request: itself, and its stages below it."""
        found = finished.trace
        self._ids.trace, self._ids.span = int(found.trace, 16), int(found.span, 16)
        root = self._tracer.start_span(
            finished.route,
            _caller(found.trace, found.parent),
            api.SpanKind.SERVER,
            {
                "http.request.method": finished.route.partition(" ")[0],
                "url.path": finished.path,
                "http.response.status_code": finished.status,
                **found.attributes,
            },
            start_time=wall(finished.arrived),
        )
        if finished.status >= 500:
            root.set_status(api.StatusCode.ERROR)
        below = api.set_span_in_context(root)
        for name, start, end in _stages(finished):
            span = self._tracer.start_span(name, below, start_time=wall(start))
            span.end(wall(end))
        root.end(wall(finished.ended))

    def _send(self, spans: list[ReadableSpan]) -> None:
        try:
            result = self._exporter.export(spans)
        except Exception:
            logger.exception("%s spans could not be sent", len(spans))
            result = SpanExportResult.FAILURE
        if result is SpanExportResult.SUCCESS:
            self._traces.exported += len(spans)
        else:
            self._traces.dropped += len(spans)


class _Wall:
    """Turns seconds of the monotonic clock into nanoseconds since 1970."""

    def __init__(self, offset: float) -> None:
        self._offset = offset

    def __call__(self, seconds: float) -> int:
        return int((seconds + self._offset) * 1e9)


def _stages(finished: Finished) -> list[tuple[str, float, float]]:
    found = finished.trace
    if found.call is None:
        return []
    called = found.call.began
    return [
        ("decode", finished.arrived, found.began),
        ("queue", found.began, called),
        ("inference", called, called + found.call.seconds),
        ("log", found.answered, found.logged),
        ("encode", found.logged, found.encoded),
    ]


def _caller(trace: str, span: str | None) -> Any:
    if span is None:
        return Context()
    sampled = api.TraceFlags(api.TraceFlags.SAMPLED)
    context = api.SpanContext(int(trace, 16), int(span, 16), is_remote=True, trace_flags=sampled)
    return api.set_span_in_context(api.NonRecordingSpan(context), Context())


def _resource(environment: Mapping[str, str], number: int) -> dict[str, str]:
    named = "service.name=" in environment.get("OTEL_RESOURCE_ATTRIBUTES", "")
    service = {"service.version": tidemill.__version__, "service.instance.id": str(number)}
    if named or "OTEL_SERVICE_NAME" in environment:
        return service
    return {**service, "service.name": "tidemill"}


class _Ids(RandomIdGenerator):
    """Gives the next span the ids that its caller was told; those below it get random ones."""

    def __init__(self) -> None:
        self.trace = self.span = 0

    def generate_trace_id(self) -> int:
        return self.trace

    def generate_span_id(self) -> int:
        told, self.span = self.span, 0
        return told or super().generate_span_id()


class _Made(SpanProcessor):
    """Gathers the spans that have ended."""

    def __init__(self) -> None:
        self._spans: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self._spans.append(span)

    def taken(self) -> list[ReadableSpan]:
        """Return them, each once."""
        spans, self._spans = self._spans, []
        return spans
