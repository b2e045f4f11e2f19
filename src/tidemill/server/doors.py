"""Opens MLflow's door into a home, and tells steps where it is."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.home import Home
from tidemill.server.mlflow.door import MlflowDoor
from tidemill.server.mlflow.routes import Rooms


def mlflow_door(home: Home) -> MlflowDoor:
    """Return the door for MLflow's clients into a home."""

    def is_under_way(run_id: str) -> bool:
        return home.pipelines.is_under_way(run_id)

    rooms = Rooms(
        home.tracking,
        home.logged_models,
        home.registry,
        home.catalogue,
        home.blobs,
        home.webhooks,
        is_under_way=is_under_way,
    )
    return MlflowDoor(rooms)


def for_mlflow(home: Home, address: str, run_id: str) -> Mapping[str, str]:
    """Return the variables by which MLflow's client finds a server and the run to go on with."""
    return {
        "MLFLOW_TRACKING_URI": address,
        "MLFLOW_REGISTRY_URI": address,
        "MLFLOW_RUN_ID": run_id,
        "MLFLOW_EXPERIMENT_ID": home.tracking.get(run_id).experiment_id,
    }
