"""MLflow's routes for experiments."""

from __future__ import annotations

import msgspec

from tidemill.server.mlflow.errors import BadRequest
from tidemill.server.mlflow.records import Answer, Entry, experiment_answer
from tidemill.server.mlflow.requests import required, wrong
from tidemill.tracking.errors import ExperimentNotFound
from tidemill.tracking.experiments import DEFAULT, DEFAULT_ID
from tidemill.tracking.records import Experiment, View
from tidemill.tracking.service import Tracking

ACTOR = "user:mlflow"
VIEWS: dict[str, View] = {"ACTIVE_ONLY": "active", "DELETED_ONLY": "deleted", "ALL": "all"}
MOST = 50_000
_EXPERIMENTS = 20


class OfExperiment(msgspec.Struct, frozen=True):
    """Names an experiment, and what is to become of it."""

    experiment_id: str = ""
    experiment_name: str = ""
    new_name: str = ""
    key: str = ""
    value: str = ""


class CreateExperiment(msgspec.Struct, frozen=True):
    """A new experiment."""

    name: str = ""
    artifact_location: str = ""
    tags: list[Entry] = []


class SearchExperiments(msgspec.Struct, frozen=True):
    """A search for experiments."""

    max_results: int = 0
    filter: str = ""
    order_by: list[str] = []
    view_type: str = "ACTIVE_ONLY"
    page_token: str = ""


class SearchDatasets(msgspec.Struct, frozen=True):
    """A question for the datasets that an experiment's runs read."""

    experiment_ids: list[str] = []


class Experiments:
    """Translates requests about experiments.

    Args:
        tracking: The room.
    """

    def __init__(self, tracking: Tracking) -> None:
        self._tracking = tracking

    def get(self, request: OfExperiment) -> Answer:
        return {"experiment": experiment_answer(self.known(request.experiment_id))}

    def get_by_name(self, request: OfExperiment) -> Answer:
        name = required(request.experiment_name, "experiment_name")
        found = self._tracking.find_experiment(name)
        if found is None and name == DEFAULT:
            found = self.known(DEFAULT_ID)
        if found is None:
            raise ExperimentNotFound(f"Could not find experiment with name '{name}'")
        return {"experiment": experiment_answer(found)}

    def create(self, request: CreateExperiment) -> Answer:
        if set("?#") & set(request.artifact_location):
            raise BadRequest("'artifact_location' URL can't include fragments or params.")
        made = self._tracking.create_experiment(
            required(request.name, "name"),
            actor=ACTOR,
            artifact_location=request.artifact_location or None,
            tags={tag.key: tag.value for tag in request.tags},
        )
        return {"experiment_id": made.id}

    def search(self, request: SearchExperiments) -> Answer:
        if request.max_results < 1:
            raise not_positive(request.max_results, "max_results")
        self.known(DEFAULT_ID)
        page = self._tracking.search_experiments(
            request.filter,
            order_by=request.order_by,
            view=view_of(request.view_type),
            limit=at_most(request.max_results, MOST),
            token=request.page_token,
        )
        answer: Answer = {"experiments": [experiment_answer(e) for e in page.items]}
        return answer | ({} if page.token is None else {"next_page_token": page.token})

    def update(self, request: OfExperiment) -> Answer:
        known = self.known(request.experiment_id)
        name = required(request.new_name, "new_name")
        self._tracking.rename_experiment(known.id, name, actor=ACTOR)
        return {}

    def delete(self, request: OfExperiment) -> Answer:
        self._tracking.delete_experiment(self.known(request.experiment_id).id, actor=ACTOR)
        return {}

    def restore(self, request: OfExperiment) -> Answer:
        self._tracking.restore_experiment(self.known(request.experiment_id).id, actor=ACTOR)
        return {}

    def search_datasets(self, request: SearchDatasets) -> Answer:
        """Return which datasets were read in some experiments."""
        ids = request.experiment_ids
        if not ids:
            raise BadRequest("SearchDatasets request must specify at least one experiment_id.")
        if len(ids) > _EXPERIMENTS:
            raise BadRequest(
                f"SearchDatasets request cannot specify more than {_EXPERIMENTS} experiment_ids. "
                f"Received {len(ids)} experiment_ids."
            )
        found = self._tracking.datasets_of(ids, limit=1000)
        rows = [
            {"experiment_id": d.experiment_id, "name": d.name, "digest": d.digest}
            | ({} if d.context is None else {"context": d.context})
            for d in found
        ]
        return {"dataset_summaries": rows} if rows else {}

    def set_tag(self, request: OfExperiment) -> Answer:
        known = self.known(request.experiment_id)
        self._tracking.set_experiment_tag(known.id, required(request.key, "key"), request.value)
        return {}

    def delete_tag(self, request: OfExperiment) -> Answer:
        known = self.known(request.experiment_id)
        self._tracking.delete_experiment_tag(known.id, required(request.key, "key"))
        return {}

    def known(self, experiment_id: str) -> Experiment:
        """Return an experiment; the default one is made when it is first asked for."""
        try:
            return self._tracking.get_experiment(required(experiment_id, "experiment_id"))
        except ExperimentNotFound:
            if experiment_id != DEFAULT_ID:
                raise
            return self._tracking.experiment(DEFAULT)


def view_of(name: str) -> View:
    """Return which lifecycles a view shows.

    Raises:
        BadRequest: MLflow has no such view.
    """
    if name not in VIEWS:
        raise wrong(name, "view_type")
    return VIEWS[name]


def at_most(value: int, most: int) -> int:
    """Return a number of results that may be asked for.

    Raises:
        BadRequest: It is none.
    """
    if value < 1:
        raise not_positive(value, "max_results")
    if value > most:
        raise wrong(value, "max_results")
    return value


def not_positive(value: int, name: str) -> BadRequest:
    """Return the error for a number that is none of results."""
    return BadRequest(
        f"Invalid value {value} for parameter '{name}' supplied. It must be a positive integer"
    )
