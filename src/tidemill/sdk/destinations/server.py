"""A server: the owner of a home, here or elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import msgspec

from tidemill.client.client import HttpTransport, Unreachable, remote_error
from tidemill.server.encoding import decode
from tidemill.tracking.records import Experiment, Metric, NewRun, Param, Run, RunStatus, Tag

if TYPE_CHECKING:
    from tidemill.sdk.destinations.protocol import Destination

T = TypeVar("T")
_BATCHES = {"metrics": 1000, "params": 100, "tags": 100}
"""How many of each the server takes at once."""
_LOG = "/api/2.0/mlflow/runs/log-batch"
_FILES = "/api/2.0/mlflow-artifacts/artifacts"
_WORDS = {math.inf: "Infinity", -math.inf: "-Infinity"}


class ServerDestination:
    """Keeps runs through a server.

    Args:
        address: Where it answers, such as `http://127.0.0.1:8750`.
    """

    def __init__(self, address: str) -> None:
        import httpx

        self._calls = HttpTransport(address)
        self._http = httpx.Client(base_url=address, timeout=60.0)

    def experiment(self, name: str) -> Experiment:
        return self._ask("experiment", Experiment, {"name": name})

    def start(self, run: NewRun) -> Run:
        return self._ask("start_run", Run, {"new": msgspec.to_builtins(run)})

    def resume(self, run_id: str, *, actor: str) -> Run:
        return self._ask("resume_run", Run, {"id": run_id, "actor": actor})

    def end(self, run_id: str, status: RunStatus, *, actor: str, ended: datetime) -> None:
        given = {"id": run_id, "status": status, "actor": actor, "ended": ended.isoformat()}
        self._ask("end_run", Run, given)

    def get(self, run_id: str) -> Run:
        return decode(self._calls.call("run", {"id": run_id}, post=False), Run)

    def search(
        self,
        filter: str,
        *,
        order_by: Sequence[str],
        experiments: Sequence[str] | None,
        limit: int,
    ) -> list[Run]:
        given = {"filter": filter, "order_by": list(order_by), "limit": limit}
        known = {} if experiments is None else {"experiments": list(experiments)}
        return self._ask("search_runs", list[Run], given | known)

    def log(
        self,
        run_id: str,
        *,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[Tag] = (),
    ) -> None:
        points = [_point(metric) for metric in metrics]
        settings = [{"key": p.key, "value": p.value} for p in params]
        notes = [{"key": t.key, "value": t.value} for t in tags]
        for part in _parts(points, settings, notes):
            self._send("POST", _LOG, msgspec.json.encode({"run_id": run_id} | part))

    def log_artifact(self, run_id: str, path: str, source: bytes | Path) -> None:
        place = f"{_FILES}/0/{run_id}/artifacts/{quote(path)}"
        if isinstance(source, bytes):
            self._send("PUT", place, source)
            return
        with source.open("rb") as file:
            self._send("PUT", place, iter(lambda: file.read(1 << 20), b""))

    def close(self) -> None:
        self._calls.close()
        self._http.close()

    def _ask(self, name: str, kind: type[T], arguments: dict[str, Any]) -> T:
        return decode(self._calls.call(name, arguments, post=True), kind)

    def _send(self, method: str, path: str, content: bytes | Iterator[bytes]) -> None:
        import httpx

        headers = {"content-type": "application/json"} if isinstance(content, bytes) else {}
        try:
            answer = self._http.request(method, path, content=content, headers=headers)
        except httpx.HTTPError as error:
            raise Unreachable(
                f"The server does not answer: {error}.", hint="Is `tidemill up` still running?"
            ) from error
        if answer.status_code >= 400:
            said = _said(answer.content)
            raise remote_error(answer.status_code, said[0], said[1], "", "")


def _said(content: bytes) -> tuple[str, str]:
    try:
        body = msgspec.json.decode(content, type=dict[str, Any])
    except msgspec.MsgspecError:
        return "UNKNOWN", content[:200].decode(errors="replace")
    error = body.get("error", body)
    code = error.get("code") or error.get("error_code", "UNKNOWN")
    return str(code), str(error.get("message", ""))


def _point(metric: Metric) -> dict[str, Any]:
    value: float | str = metric.value
    if math.isnan(metric.value):
        value = "NaN"
    elif math.isinf(metric.value):
        value = _WORDS[metric.value]
    return {
        "key": metric.key, "value": value, "timestamp": metric.timestamp, "step": metric.step
    }  # fmt: skip


def _parts(*entries: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Part a batch so that the server takes it; what fits into one stays one."""
    named = dict(zip(_BATCHES, entries, strict=True))
    fits = all(len(named[name]) <= most for name, most in _BATCHES.items())
    if fits and sum(map(len, entries)) <= _BATCHES["metrics"]:
        yield named
        return
    for name, most in _BATCHES.items():
        for start in range(0, len(named[name]), most):
            yield {name: named[name][start : start + most]}


if TYPE_CHECKING:

    def _conforms(address: str) -> Destination:
        return ServerDestination(address)
