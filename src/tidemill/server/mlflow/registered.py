"""MLflow's routes for registered models and their aliases."""

from __future__ import annotations

import re

import msgspec

from tidemill.registry.catalogue import Catalogue
from tidemill.registry.errors import VersionNotFound
from tidemill.registry.records import Model, ModelVersion
from tidemill.registry.service import Registry
from tidemill.server.mlflow.errors import BadRequest
from tidemill.server.mlflow.experiments import ACTOR
from tidemill.server.mlflow.records import Answer, Entry, entries, millis
from tidemill.server.mlflow.requests import required
from tidemill.server.mlflow.versions import number_of, refuse_prompt, version_answer

_MOST = 1000
_ALIAS = re.compile(r"[\w.-]+")
_VERSION = re.compile(r"v\d+", re.IGNORECASE)
_REASON = "It was set through MLflow's client."


class CreateRegistered(msgspec.Struct, frozen=True):
    """A new name."""

    name: str = ""
    tags: list[Entry] = []
    description: str = ""


class OfRegistered(msgspec.Struct, frozen=True):
    """Names a model, and what is to become of it."""

    name: str = ""
    new_name: str = ""
    description: str = ""
    key: str = ""
    value: str = ""
    stages: list[str] = []


class OfAlias(msgspec.Struct, frozen=True):
    """Names an alias, and what it is to name."""

    name: str = ""
    alias: str = ""
    version: str | int = ""


class SearchRegistered(msgspec.Struct, frozen=True):
    """A search for models or versions."""

    filter: str = ""
    max_results: int = 100
    order_by: list[str] = []
    page_token: str = ""


class Registered:
    """Translates requests about registered models.

    Args:
        registry: Sets aliases.
        catalogue: Everything else.
    """

    def __init__(self, registry: Registry, catalogue: Catalogue) -> None:
        self._registry = registry
        self._catalogue = catalogue

    def create(self, request: CreateRegistered) -> Answer:
        refuse_prompt(request.tags)
        made = self._catalogue.create(
            required(request.name, "name"),
            actor=ACTOR,
            tags={t.key: t.value for t in request.tags},
            description=request.description,
        )
        return {"registered_model": model_answer(made, [])}

    def get(self, request: OfRegistered) -> Answer:
        return self._answer(self._catalogue.model(required(request.name, "name")))

    def rename(self, request: OfRegistered) -> Answer:
        name, new = required(request.name, "name"), required(request.new_name, "new_name")
        return self._answer(self._catalogue.rename(name, new, actor=ACTOR))

    def update(self, request: OfRegistered) -> Answer:
        name = required(request.name, "name")
        self._catalogue.describe(name, request.description, actor=ACTOR)
        return self._answer(self._catalogue.model(name))

    def delete(self, request: OfRegistered) -> Answer:
        self._catalogue.delete(required(request.name, "name"), actor=ACTOR)
        return {}

    def search(self, request: SearchRegistered) -> Answer:
        page = self._catalogue.search_models(
            request.filter,
            order_by=request.order_by,
            limit=limited(request.max_results, _MOST),
            token=request.page_token,
        )
        found = [self._answer(model)["registered_model"] for model in page.items]
        answer: Answer = {"registered_models": found} if found else {}
        return answer | ({} if page.token is None else {"next_page_token": page.token})

    def latest_versions(self, request: OfRegistered) -> Answer:
        found = self._catalogue.latest(required(request.name, "name"), request.stages)
        return {"model_versions": [version_answer(v) for v in found]} if found else {}

    def set_tag(self, request: OfRegistered) -> Answer:
        name, key = required(request.name, "name"), required(request.key, "key")
        self._catalogue.set_tag(name, key, request.value, actor=ACTOR)
        return {}

    def delete_tag(self, request: OfRegistered) -> Answer:
        name, key = required(request.name, "name"), required(request.key, "key")
        self._catalogue.delete_tag(name, key, actor=ACTOR)
        return {}

    def set_alias(self, request: OfAlias) -> Answer:
        name = required(request.name, "name")
        alias = _alias(required(request.alias, "alias"))
        number = number_of(required(request.version, "version"))
        if alias.lower() == "latest":
            raise BadRequest("'latest' alias name (case insensitive) is reserved.")
        if _VERSION.fullmatch(alias):
            raise BadRequest(f"Version alias name '{alias}' is reserved.")
        self._catalogue.version(name, number)
        self._registry.set_alias(name, alias, number, actor=ACTOR, reason=_REASON)
        return {}

    def delete_alias(self, request: OfAlias) -> Answer:
        name, alias = required(request.name, "name"), _alias(request.alias)
        self._catalogue.model(name)
        reason = "It was removed through MLflow's client."
        self._registry.remove_alias(name, alias, actor=ACTOR, reason=reason)
        return {}

    def by_alias(self, request: OfAlias) -> Answer:
        model = self._catalogue.model(required(request.name, "name"))
        return {"model_version": version_answer(self._aliased(model, _alias(request.alias)))}

    def _aliased(self, model: Model, alias: str) -> ModelVersion:
        if alias.lower() == "latest" and model.latest is not None:
            return self._catalogue.version(model.name, model.latest)
        if alias not in model.aliases:
            raise BadRequest(f"Registered model alias {alias} not found.")
        try:
            return self._catalogue.version(model.name, model.aliases[alias])
        except VersionNotFound as error:
            raise BadRequest(f"Registered model alias {alias} not found.") from error

    def _answer(self, model: Model) -> Answer:
        return {"registered_model": model_answer(model, self._catalogue.latest(model.name))}


def model_answer(model: Model, latest: list[ModelVersion]) -> Answer:
    """Return a registered model as MLflow has it."""
    answer: Answer = {
        "name": model.name,
        "creation_timestamp": millis(model.created),
        "last_updated_timestamp": millis(model.updated),
    }
    if model.description:
        answer["description"] = model.description
    if latest:
        answer["latest_versions"] = [version_answer(v) for v in latest]
    if model.tags:
        answer["tags"] = entries(model.tags)
    if model.aliases:
        answer["aliases"] = [
            {"alias": alias, "version": str(version)} for alias, version in model.aliases.items()
        ]
    return answer


def limited(wanted: int, most: int) -> int:
    """Return how many results are wanted.

    Raises:
        BadRequest: None, or too many.
    """
    if wanted <= 0:
        raise BadRequest(
            f"Invalid value for max_results. It must be a positive integer, but got {wanted}"
        )
    if wanted > most:
        raise BadRequest(
            "Invalid value for request parameter max_results. It must be at most "
            f"{most}, but got value {wanted}"
        )
    return wanted


def _alias(alias: str) -> str:
    if not alias:
        raise BadRequest("Registered model alias name cannot be empty.")
    if len(alias) > 255:
        raise BadRequest(
            "'Registered model alias name' exceeds the maximum length of 255 characters"
        )
    if not _ALIAS.fullmatch(alias):
        raise BadRequest(
            f"Invalid alias name: '{alias}'. Names may only contain alphanumerics, underscores "
            "(_), dashes (-) and dots (.)."
        )
    return alias
