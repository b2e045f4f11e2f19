"""A running tracking server, asked over HTTP: MLflow's own, or any that speaks as it does."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import httpx
import msgspec

from tidemill.exchange.errors import BadSource, SourceUnreachable
from tidemill.exchange.mlflow import values
from tidemill.exchange.mlflow.records import SourceFile, SourceModel, SourceRegistered, SourceRun
from tidemill.exchange.mlflow.wire import (
    Answer,
    LoggedAnswer,
    RegisteredAnswer,
    RunAnswer,
    VersionAnswer,
    texts,
)
from tidemill.registry.records import Model, ModelVersion
from tidemill.tracking.records import (
    DatasetInput,
    Experiment,
    LoggedModel,
    Metric,
    ModelLink,
    ModelMetric,
    Run,
    RunLinks,
)

PAGE = 500
POINTS = 20_000
DEEPEST = 100
LARGEST = 256 << 20
"""Bytes of one page of JSON."""
TIMEOUT = 60.0
_API = "api/2.0/mlflow"
_UI = "ajax-api/2.0/mlflow"


class ServerSource:
    """A tracking server.

    A name and a password, or a token, are taken from the variables that MLflow's client knows:
    `MLFLOW_TRACKING_USERNAME`, `MLFLOW_TRACKING_PASSWORD` and `MLFLOW_TRACKING_TOKEN`.

    Args:
        address: Such as `http://127.0.0.1:5000`.
        environment: Where those variables are; the process's where it is left out.

    Raises:
        SourceUnreachable: Nothing answers there as a tracking server would.
    """

    skipped = 0

    def __init__(self, address: str, *, environment: Mapping[str, str] | None = None) -> None:
        known = os.environ if environment is None else environment
        try:
            url = httpx.URL(address)
        except httpx.InvalidURL as error:
            raise SourceUnreachable(
                f"{address[:200]!r} is no address: {error}.", expected="such as http://host:5000"
            ) from error
        self.name = str(url.copy_with(username=None, password=None))
        self._http = httpx.Client(base_url=url, timeout=TIMEOUT, **_authorisation(known))
        try:
            self._ask("POST", f"{_API}/experiments/search", {"max_results": 1})
        except BaseException:
            self._http.close()
            raise

    def close(self) -> None:
        self._http.close()

    def elsewhere(self) -> list[str]:
        """A server hands its artifacts out itself, wherever they lie."""
        return []

    def experiments(self) -> list[Experiment]:
        return self._experiments

    @cached_property
    def _experiments(self) -> list[Experiment]:
        found = []
        for page in self._pages("POST", "experiments/search", {"view_type": "ALL"}):
            for each in page.experiments:
                stage = values.lifecycle(each.lifecycle_stage)
                updated = values.moment(each.last_update_time)
                found.append(
                    Experiment(
                        id=each.experiment_id,
                        name=each.name,
                        created=values.moment(each.creation_time),
                        updated=updated,
                        lifecycle=stage,
                        deleted=updated if stage == "deleted" else None,
                        tags=texts(each.tags),
                    )
                )
        return found

    def count_runs(self) -> int:
        """A server does not say; the bar grows as runs come."""
        return 0

    def runs(self) -> Iterator[list[SourceRun]]:
        for experiment in self._experiments:
            asked = {"experiment_ids": [experiment.id], "run_view_type": "ALL"}
            for page in self._pages("POST", "runs/search", asked):
                yield [_run(each) for each in page.runs]

    def points(self, run: SourceRun) -> Iterator[list[Metric]]:
        for key in run.run.metrics:
            seen: set[Metric] = set()
            asked = {"run_id": run.run.id, "run_uuid": run.run.id, "metric_key": key}
            for page in self._pages("GET", "metrics/get-history", asked, size=POINTS):
                fresh = {point.metric for point in page.metrics} - seen
                seen |= fresh
                yield list(fresh)

    def models(self) -> Iterator[list[SourceModel]]:
        for experiment in self._experiments:
            asked = {"experiment_ids": [experiment.id]}
            with suppress(_NotKnown):  # before MLflow 3 there were none
                for page in self._pages("POST", "logged-models/search", asked, size=50):
                    yield [_logged(each) for each in page.models]

    def registered(self) -> Iterator[SourceRegistered]:
        for page in self._pages("GET", "registered-models/search", {}, size=100):
            for each in page.registered_models:
                whole = self._ask("GET", f"{_API}/registered-models/get", {"name": each.name})
                quoted = each.name.replace("'", "''")
                asked = {"filter": f"name='{quoted}'"}
                found = [
                    _version(version)
                    for part in self._pages("GET", "model-versions/search", asked)
                    for version in part.model_versions
                    if version.name == each.name
                ]
                found.sort(key=lambda version: version.version)
                model = _registered(whole.registered_model or each)
                yield SourceRegistered(model=model, versions=tuple(found))

    def files(self, owner: SourceRun | SourceModel) -> Iterator[SourceFile]:
        if isinstance(owner, SourceRun):
            run = {"run_id": owner.run.id, "run_uuid": owner.run.id}
            yield from self._below(
                f"{_API}/artifacts/list", run, "path", "get-artifact", run, "path", "", 0
            )
            return
        place = f"logged-models/{owner.model.id}/artifacts"
        yield from self._below(
            f"{_API}/{place}/directories",
            {},
            "artifact_directory_path",
            f"{_UI}/{place}/files",
            {},
            "artifact_file_path",
            "",
            0,
        )

    def _below(
        self,
        lists: str,
        asked: dict[str, Any],
        folder: str,
        gives: str,
        given: dict[str, Any],
        file: str,
        path: str,
        depth: int,
    ) -> Iterator[SourceFile]:
        """Go through a folder; one call tells what is in it, another gives a file's bytes."""
        if depth > DEEPEST:
            raise BadSource(f"The artifacts of {self.name} are over {DEEPEST} folders deep.")
        query = asked | ({folder: path} if path else {})
        for page in self._listing(lists, query):
            for entry in page.files:
                if path and not entry.path.startswith(f"{path}/"):
                    raise BadSource(f"{self.name} says that {entry.path[:200]!r} is in {path!r}.")
                if entry.is_dir:
                    yield from self._below(
                        lists, asked, folder, gives, given, file, entry.path, depth + 1
                    )
                else:
                    yield SourceFile(entry.path, self._opener(gives, given | {file: entry.path}))

    def _listing(self, route: str, asked: dict[str, Any]) -> Iterator[Answer]:
        token = ""
        while True:
            page = self._ask("GET", route, asked | ({"page_token": token} if token else {}))
            yield page
            if not page.next_page_token or page.next_page_token == token:
                return
            token = page.next_page_token

    def _pages(
        self, method: str, route: str, asked: dict[str, Any], *, size: int = PAGE
    ) -> Iterator[Answer]:
        token = ""
        while True:
            more = {"max_results": size} | ({"page_token": token} if token else {})
            page = self._ask(method, f"{_API}/{route}", asked | more)
            yield page
            if not page.next_page_token or page.next_page_token == token:
                return
            token = page.next_page_token

    def _ask(self, method: str, route: str, asked: dict[str, Any]) -> Answer:
        given: dict[str, Any] = {"json": asked} if method == "POST" else {"params": asked}
        try:
            with self._http.stream(method, f"/{route}", **given) as answer:
                content = _content(answer, self.name)
                status = answer.status_code
        except httpx.HTTPError as error:
            raise self._unreachable(str(error) or type(error).__name__) from error
        if status == 404 and b"RESOURCE_DOES_NOT_EXIST" not in content:
            raise _NotKnown(f"{self.name} has no route {route}.", expected="a tracking server")
        if status in {401, 403}:
            raise self._unreachable(
                f"it refuses with {status}; set MLFLOW_TRACKING_USERNAME and "
                "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN"
            )
        if status != 200:
            raise self._unreachable(
                f"{route} gave {status}: {content[:300].decode(errors='replace')}"
            )
        try:
            return msgspec.json.decode(content, type=Answer, strict=False)
        except msgspec.DecodeError as error:
            raise self._unreachable(f"{route} did not give MLflow's JSON: {error}") from error

    def _opener(self, route: str, asked: dict[str, Any]) -> Callable[[], BinaryIO]:
        def opened() -> BinaryIO:
            request = self._http.build_request("GET", f"/{route}", params=asked)
            try:
                answer = self._http.send(request, stream=True)
            except httpx.HTTPError as error:
                raise self._unreachable(str(error) or type(error).__name__) from error
            if answer.status_code != 200:
                answer.close()
                raise self._unreachable(f"an artifact gave {answer.status_code}")
            return cast("BinaryIO", io.BufferedReader(_Download(answer, self.name), 1 << 20))

        return opened

    def _unreachable(self, why: str) -> SourceUnreachable:
        return SourceUnreachable(
            f"The tracking server {self.name} does not answer as one: {why}.",
            expected="a running MLflow server, such as http://127.0.0.1:5000",
        )


class _NotKnown(SourceUnreachable):
    """The server has no such route."""


class _Download(io.RawIOBase):
    """The body of an answer as a file."""

    def __init__(self, answer: httpx.Response, name: str) -> None:
        self._answer = answer
        self._name = name
        self._parts = answer.iter_bytes(1 << 20)
        self._left = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._left:
            self._left = self._next()
        size = min(len(buffer), len(self._left))
        buffer[:size], self._left = self._left[:size], self._left[size:]
        return size

    def close(self) -> None:
        self._answer.close()
        super().close()

    def _next(self) -> bytes:
        try:
            return next(self._parts, b"")
        except httpx.HTTPError as error:
            raise SourceUnreachable(
                f"The server {self._name} broke off in an artifact: {error}.",
                hint="Run the import again: it goes on where it was.",
            ) from error


def _authorisation(known: Mapping[str, str]) -> dict[str, Any]:
    token, user = known.get("MLFLOW_TRACKING_TOKEN"), known.get("MLFLOW_TRACKING_USERNAME")
    if token:
        return {"headers": {"Authorization": f"Bearer {token}"}}
    return {"auth": (user, known.get("MLFLOW_TRACKING_PASSWORD", ""))} if user else {}


def _content(answer: httpx.Response, name: str) -> bytes:
    parts = bytearray()
    for part in answer.iter_bytes():
        parts += part
        if len(parts) > LARGEST:
            raise BadSource(f"An answer of {name} is over {LARGEST >> 20} MiB.")
    return bytes(parts)


def _run(answer: RunAnswer) -> SourceRun:
    info, tags = answer.info, texts(answer.data.tags)
    name = info.run_id or info.run_uuid
    stage = values.lifecycle(info.lifecycle_stage)
    run = Run(
        id=name,
        experiment_id=info.experiment_id,
        name=values.run_name(info.run_name, tags, name),
        status=values.run_status(info.status),
        started=values.moment(info.start_time),
        ended=values.maybe_moment(info.end_time or None),
        actor=values.actor(info.user_id),
        parent=tags.get(values.PARENT_TAG),
        lifecycle=stage,
        deleted=values.moment(info.end_time or info.start_time) if stage == "deleted" else None,
        metrics={point.key: point.metric.value for point in answer.data.metrics},
        params=texts(answer.data.params),
        tags=tags,
    )
    links = RunLinks(
        datasets=tuple(
            DatasetInput(tags=texts(e.tags), **msgspec.structs.asdict(e.dataset))
            for e in answer.inputs.dataset_inputs
        ),
        read=tuple(ModelLink(m.model_id) for m in answer.inputs.model_inputs),
        written=tuple(ModelLink(m.model_id, int(m.step)) for m in answer.outputs.model_outputs),
    )
    return SourceRun(run=run, links=links, place=info.artifact_uri)


def _logged(answer: LoggedAnswer) -> SourceModel:
    info = answer.info
    model = LoggedModel(
        id=info.model_id,
        experiment_id=info.experiment_id,
        name=info.name or info.model_id,
        run_id=info.source_run_id,
        status=values.model_status(info.status),
        model_type=info.model_type,
        created=values.moment(info.creation_timestamp_ms),
        updated=values.moment(info.last_updated_timestamp_ms),
        params=texts(answer.data.params),
        tags=texts(info.tags),
        metrics=tuple(
            ModelMetric(info.model_id, p.metric, p.run_id, p.dataset_name, p.dataset_digest)
            for p in answer.data.metrics
        ),
    )
    return SourceModel(model=model, place=info.artifact_uri)


def _registered(answer: RegisteredAnswer) -> Model:
    return Model(
        name=answer.name,
        created=values.moment(answer.creation_timestamp),
        updated=values.moment(answer.last_updated_timestamp),
        description=answer.description,
        tags=texts(answer.tags),
        aliases={each.alias: int(each.version) for each in answer.aliases},
    )


def _version(answer: VersionAnswer) -> ModelVersion:
    return ModelVersion(
        model=answer.name,
        version=int(answer.version),
        source=answer.source,
        model_id=answer.model_id or values.logged_model_of(answer.source),
        run_id=answer.run_id or None,
        status=values.version_status(answer.status),
        stage=values.stage(answer.current_stage),
        created=values.moment(answer.creation_timestamp),
        updated=values.moment(answer.last_updated_timestamp),
        actor=values.actor(answer.user_id),
        tags=texts(answer.tags),
        description=answer.description,
        run_link=answer.run_link,
    )


if TYPE_CHECKING:
    from tidemill.exchange.mlflow.protocol import Source

    _CONFORMS: Source = ServerSource("")
