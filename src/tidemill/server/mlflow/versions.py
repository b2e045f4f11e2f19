"""MLflow's routes for model versions."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from tidemill.registry.catalogue import Catalogue
from tidemill.registry.records import ModelVersion
from tidemill.registry.service import Registry
from tidemill.server.mlflow.errors import BadRequest, NotOffered
from tidemill.server.mlflow.experiments import ACTOR
from tidemill.server.mlflow.records import Answer, Entry, entries, millis
from tidemill.server.mlflow.requests import required
from tidemill.server.mlflow.sources import Sources
from tidemill.tracking.logged_models import LoggedModels

VERSIONS_TAG = "mlflow.modelVersions"
_MOST = 200_000


class CreateVersion(msgspec.Struct, frozen=True):
    """A new version."""

    name: str = ""
    source: str = ""
    run_id: str = ""
    model_id: str = ""
    tags: list[Entry] = []
    run_link: str = ""
    description: str = ""


class OfVersion(msgspec.Struct, frozen=True):
    """Names a version, and what is to become of it."""

    name: str = ""
    version: str | int = ""
    description: str = ""
    key: str = ""
    value: str = ""
    stage: str = ""
    archive_existing_versions: bool = False


class SearchVersions(msgspec.Struct, frozen=True):
    """A search for versions."""

    filter: str = ""
    max_results: int = 10_000
    order_by: list[str] = []
    page_token: str = ""


class Versions:
    """Translates requests about model versions.

    Args:
        registry: Registers them.
        catalogue: Everything else.
        models: The logged models that they are registered from.
        sources: Follows the addresses of their files.
    """

    def __init__(
        self, registry: Registry, catalogue: Catalogue, models: LoggedModels, sources: Sources
    ) -> None:
        self._registry = registry
        self._catalogue = catalogue
        self._models = models
        self._sources = sources

    def create(self, request: CreateVersion) -> Answer:
        refuse_prompt(request.tags)
        name = required(request.name, "name")
        origin = self._sources.origin(
            required(request.source, "source"), request.run_id, request.model_id
        )
        self._catalogue.model(name)
        made = self._registry.register_files(
            name,
            origin.source,
            actor=ACTOR,
            run_id=origin.run_id,
            model_id=origin.model_id,
            tags={t.key: t.value for t in request.tags},
            description=request.description,
            run_link=request.run_link,
        )
        if origin.model_id is not None:
            self._tell_model(origin.model_id, made)
        return {"model_version": version_answer(made)}

    def get(self, request: OfVersion) -> Answer:
        return {"model_version": version_answer(self._known(request))}

    def update(self, request: OfVersion) -> Answer:
        name, number = self._names(request)
        self._catalogue.describe(name, request.description, actor=ACTOR, version=number)
        return {"model_version": version_answer(self._catalogue.version(name, number))}

    def transition(self, request: OfVersion) -> Answer:
        name, number = self._names(request)
        version = self._catalogue.set_stage(
            name,
            number,
            required(request.stage, "stage"),
            actor=ACTOR,
            reason="It was set through MLflow's client.",
            archive_others=request.archive_existing_versions,
        )
        return {"model_version": version_answer(version)}

    def delete(self, request: OfVersion) -> Answer:
        name, number = self._names(request)
        self._catalogue.delete_version(name, number, actor=ACTOR)
        return {}

    def search(self, request: SearchVersions) -> Answer:
        if not 0 < request.max_results <= _MOST:
            raise BadRequest(
                "Invalid value for request parameter max_results. It must be a positive integer "
                f"of at most {_MOST}, but got value {request.max_results}"
            )
        page = self._catalogue.search_versions(
            request.filter,
            order_by=request.order_by,
            limit=request.max_results,
            token=request.page_token,
        )
        found = [version_answer(version) for version in page.items]
        answer: Answer = {"model_versions": found} if found else {}
        return answer | ({} if page.token is None else {"next_page_token": page.token})

    def download_uri(self, request: OfVersion) -> Answer:
        return {"artifact_uri": self._sources.place(self._known(request))}

    def set_tag(self, request: OfVersion) -> Answer:
        name, number = self._names(request)
        key = required(request.key, "key")
        self._catalogue.set_tag(name, key, request.value, actor=ACTOR, version=number)
        return {}

    def delete_tag(self, request: OfVersion) -> Answer:
        name, number = self._names(request)
        key = required(request.key, "key")
        self._catalogue.delete_tag(name, key, actor=ACTOR, version=number)
        return {}

    def _known(self, request: OfVersion) -> ModelVersion:
        return self._catalogue.version(*self._names(request))

    def _names(self, request: OfVersion) -> tuple[str, int]:
        name = required(request.name, "name")
        return name, number_of(required(request.version, "version"))

    def _tell_model(self, model_id: str, made: ModelVersion) -> None:
        """Write on the logged model which versions came of it, as its page wants it."""
        known = self._models.get(model_id).tags.get(VERSIONS_TAG, "[]")
        try:
            before = msgspec.json.decode(known, type=list[dict[str, str | int]])
        except msgspec.MsgspecError:
            before = []
        told = [*before, {"name": made.model, "version": made.version}]
        self._models.set_tags(model_id, {VERSIONS_TAG: msgspec.json.encode(told).decode()})


def refuse_prompt(tags: Sequence[Entry]) -> None:
    """Refuse what MLflow keeps among models and is none.

    Raises:
        NotOffered: The tags are a prompt's.
    """
    if any(tag.key == "mlflow.prompt.is_prompt" and tag.value == "true" for tag in tags):
        raise NotOffered("Tidemill does not offer prompts of MLflow.")


def number_of(version: str | int) -> int:
    """Return a version's number.

    Raises:
        BadRequest: It is none.

    Example:
        >>> number_of("7")
        7
    """
    text = str(version)
    if not text.isdecimal() or len(text) > 9:
        raise BadRequest(f"Parameter 'version' must be an integer, got '{text[:200]}'.")
    return int(text)


def version_answer(version: ModelVersion) -> Answer:
    """Return a version as MLflow has it."""
    answer: Answer = {
        "name": version.model,
        "version": str(version.version),
        "creation_timestamp": millis(version.created),
        "last_updated_timestamp": millis(version.updated),
        "current_stage": version.stage,
        "description": version.description,
        "source": version.source or f"tidemill-bundle:/{version.bundle}",
        "run_id": version.run_id or "",
        "status": "READY",
        "run_link": version.run_link,
    }
    if version.tags:
        answer["tags"] = entries(version.tags)
    if version.aliases:
        answer["aliases"] = list(version.aliases)
    return answer
