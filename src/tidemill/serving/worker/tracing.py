"""Which requests are recorded as traces, and where finished ones wait for whoever takes them.

Nothing of OpenTelemetry is imported here: a request pays for a few numbers and one append, and
`otlp.py` makes spans of them in a thread of its own, where an endpoint for them is named.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Mapping

import msgspec

from tidemill.core.errors import Usage
from tidemill.serving.worker.http import Request, Response
from tidemill.serving.worker.trace import HEADER, Parent, Trace, parent_of

QUEUE = 8192
"""How many finished traces may wait for their export; what comes on top is lost and counted."""
STAGES = 5
"""How many spans stand below that of a request that a model answered."""


class Finished(msgspec.Struct, frozen=True):
    """A trace that waits for its export.

    Attributes:
        trace: The request's part of it.
        route: The request's method and what it was for.
        path: As it came.
        status: Of the answer.
        arrived: When the request was whole.
        ended: When it was answered.
    """

    trace: Trace
    route: str
    path: str
    status: int
    arrived: float
    ended: float


class Sampler(msgspec.Struct, frozen=True):
    """Which requests are recorded, by OpenTelemetry's own variables.

    Attributes:
        ratio: Which share of the traces that begin here.
        by_parent: Whether a caller's word counts more.
    """

    ratio: float = 1.0
    by_parent: bool = True

    def takes(self, trace: str, parent: Parent | None) -> bool:
        """Tell whether a request is recorded; of one trace, every service says the same."""
        if parent is not None and self.by_parent:
            return parent.is_sampled
        return int(trace[16:], 16) < self.ratio * 2**64


def sampler_of(environment: Mapping[str, str]) -> Sampler:
    """Return the sampler that `OTEL_TRACES_SAMPLER` and `OTEL_TRACES_SAMPLER_ARG` name.

    Raises:
        Usage: They name none.

    Example:
        >>> sampler_of({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0.1"})
        Sampler(ratio=0.1, by_parent=False)
    """
    name = environment.get("OTEL_TRACES_SAMPLER", "parentbased_always_on")
    argument = environment.get("OTEL_TRACES_SAMPLER_ARG", "1.0")
    kind = name.removeprefix("parentbased_")
    ratios = {"always_on": "1.0", "always_off": "0.0", "traceidratio": argument}
    try:
        ratio = float(ratios[kind])
    except (KeyError, ValueError):
        ratio = -1.0
    if not 0.0 <= ratio <= 1.0:
        raise Usage(
            f"The sampler {name!r} with {argument!r} is not known.",
            expected="OTEL_TRACES_SAMPLER=parentbased_traceidratio, OTEL_TRACES_SAMPLER_ARG=0.1",
        )
    return Sampler(ratio, by_parent=kind != name)


class Traces:
    """Begins the traces of requests, and keeps the finished ones until they are taken.

    Args:
        sampler: Which requests are recorded.
        rng: For ids.
    """

    def __init__(self, sampler: Sampler, rng: random.Random) -> None:
        self._sampler = sampler
        self._rng = rng
        self._finished: deque[Finished] = deque()
        self.dropped = 0
        self.exported = 0

    def begin(self, request: Request) -> None:
        """Give a request its trace, if it is to be recorded."""
        if request.method != "POST":
            return
        parent = parent_of(request.headers)
        trace = f"{self._rng.getrandbits(128) or 1:032x}" if parent is None else parent.trace
        if self._sampler.takes(trace, parent):
            span = f"{self._rng.getrandbits(64) or 1:016x}"
            request.trace = Trace(trace, span, None if parent is None else parent.span)

    def end(self, request: Request, status: int, now: float) -> None:
        """Keep the trace of a request that has been answered; never waits."""
        if request.trace is None:
            return
        if len(self._finished) >= QUEUE:
            self.dropped += 1 if request.trace.call is None else 1 + STAGES
            return
        route = f"{request.method} {_route(request.path)}".rstrip()
        path = request.path[:500]
        done = Finished(request.trace, route, path, status, request.arrived, now)
        self._finished.append(done)

    def take(self, most: int) -> list[Finished]:
        """Return finished traces, oldest first."""
        found: list[Finished] = []
        while self._finished and len(found) < most:
            found.append(self._finished.popleft())
        return found


def are_wanted(environment: Mapping[str, str]) -> bool:
    """Tell whether OpenTelemetry's variables name a place for spans; by default they do not."""
    named = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
    if environment.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return False
    if environment.get("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
        return False
    return any(environment.get(name) for name in named)


def traced(response: Response, request: Request) -> Response:
    """Return an answer that tells the caller its trace."""
    if request.trace is None:
        return response
    headers = (*response.headers, (HEADER, request.trace.header))
    return Response(response.status, response.body, response.content_type, headers)


def _route(path: str) -> str:
    """Return what a path is for, of which there are few: names are left out.

    Example:
        >>> _route("/v2/models/flights/versions/3/infer"), _route("/../etc")
        ('/v2/models/{model}/versions/{version}/infer', '')
    """
    match path.split("/"):
        case ["", "v2", "models", _, "infer"]:
            return "/v2/models/{model}/infer"
        case ["", "v2", "models", _, "versions", _, "infer"]:
            return "/v2/models/{model}/versions/{version}/infer"
        case ["", "v1", "models", name] if name.endswith(":predict"):
            return "/v1/models/{model}:predict"
        case ["", "invocations" | "labels" as door, _]:
            return f"/{door}/{{endpoint}}"
        case ["", "invocations"] | ["", "inference.GRPCInferenceService", "ModelInfer"]:
            return path
    return ""
