"""MLflow's routes for plots: the histories of many runs at once, whole or thinned out."""

from __future__ import annotations

import msgspec

from tidemill.server.mlflow.errors import BadRequest
from tidemill.server.mlflow.records import Answer, point_answer
from tidemill.server.mlflow.requests import required
from tidemill.tracking.records import Metric
from tidemill.tracking.service import Tracking

_RUNS = 100
_POINTS = 320
_MOST_POINTS = 2500
_MOST_AT_ONCE = 25_000


class GetHistories(msgspec.Struct, frozen=True):
    """The histories of one metric in many runs."""

    run_id: list[str] = []
    metric_key: str = ""
    max_results: int = _MOST_AT_ONCE


class GetIntervals(msgspec.Struct, frozen=True):
    """The same, thinned out for a plot, between two steps if wished."""

    run_ids: list[str] = []
    metric_key: str = ""
    start_step: int | None = None
    end_step: int | None = None
    max_results: int = _POINTS


class Plots:
    """Translates requests for plots.

    Args:
        tracking: The room.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    def histories(self, request: GetHistories) -> Answer:
        """Return the points of a metric in some runs, run by run."""
        if not request.run_id:
            raise BadRequest("GetMetricHistoryBulk request must specify at least one run_id.")
        if not request.metric_key:
            raise BadRequest("GetMetricHistoryBulk request must specify a metric_key.")
        key = request.metric_key
        left = min(request.max_results, _MOST_AT_ONCE)
        if left <= 0:
            raise BadRequest(f"Invalid value {left} for parameter 'max_results' supplied.")
        found: list[Answer] = []
        for run_id in _runs(request.run_id):
            points = self._tracking.history(run_id, key, limit=left - len(found))
            found += _answers(run_id, points)
            if len(found) >= left:
                break
        return {"metrics": found}

    def intervals(self, request: GetIntervals) -> Answer:
        """Return the points of a metric in some runs, thinned out, with their extremes."""
        required(request.run_ids or None, "run_ids")
        key = required(request.metric_key, "metric_key")
        first, last = request.start_step, request.end_step
        if (first is None) != (last is None):
            raise BadRequest(
                "If either start step or end step are specified, both must be specified."
            )
        if first is not None and last is not None and first > last:
            raise BadRequest(
                f"end_step must be greater than start_step. Found start_step={first} and "
                f"end_step={last}."
            )
        if not 0 < request.max_results <= _MOST_POINTS:
            raise BadRequest(
                f"max_results must be between 1 and {_MOST_POINTS}. See the API docs for more "
                "information about request parameters."
            )
        found: list[Answer] = []
        for run_id in _runs(request.run_ids):
            points = self._tracking.sample(
                run_id, key, most=max(request.max_results, 4), first=first, last=last
            )
            found += _answers(run_id, points)
        return {"metrics": found}


def _runs(named: list[str]) -> list[str]:
    if len(named) > _RUNS:
        raise BadRequest(
            f"GetMetricHistoryBulk request cannot specify more than {_RUNS} run_ids. Received "
            f"{len(named)} run_ids."
        )
    return named


def _answers(run_id: str, points: list[Metric]) -> list[Answer]:
    return [point_answer(point) | {"run_id": run_id} for point in points]
