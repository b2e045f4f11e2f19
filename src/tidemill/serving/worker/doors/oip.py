"""The Open Inference Protocol, version 2, over REST: JSON and the binary tensor extension.

The model's name in the URL is the endpoint's. Each column is an input of its own; a model without
text also takes all columns as one tensor `x` of shape `[n, features]`.

References:
    https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md
    https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

import tidemill
from tidemill.serving.worker.doors.common import Reception, check_no_form, decode
from tidemill.serving.worker.doors.oip_answers import Inference
from tidemill.serving.worker.doors.oip_requests import Reader
from tidemill.serving.worker.doors.tensors import Parameters, declared
from tidemill.serving.worker.http import HttpError, Request, Response, json_response
from tidemill.serving.worker.plane import Plane
from tidemill.serving.worker.reply import Reply
from tidemill.serving.worker.table import Table

PLATFORM = "tidemill_onnx"
EXTENSIONS = ("binary_tensor_data", "model_repository")
UNLOAD = (
    "Model {0!r} is served because a deployment says so. "
    "Change that with `tidemill deploy` or `tidemill rollback {0}`."
)


class IndexRequest(msgspec.Struct):
    """The body of a request for the repository's index."""

    ready: bool = False


class LoadRequest(msgspec.Struct):
    """The body of a request to load or unload a model."""

    parameters: Parameters = None


_INDEX = msgspec.json.Decoder(IndexRequest)
_LOAD = msgspec.json.Decoder(LoadRequest)


class OpenInference:
    """The door.

    Args:
        plane: Answers.
        reception: Reads callers off their headers.
    """

    def __init__(self, plane: Plane, reception: Reception) -> None:
        self._plane = plane
        self._reception = reception
        self._reader = Reader()

    def server(self) -> Response:
        """Say who we are."""
        return json_response(
            {"name": "tidemill", "version": tidemill.__version__, "extensions": EXTENSIONS}
        )

    @property
    def table(self) -> Table:
        """What is served now."""
        return self._plane.table

    def live(self) -> Response:
        """Say that the server lives."""
        return json_response({"live": True})

    def ready(self) -> Response:
        """Say whether every endpoint is served as the route table wants it."""
        ready = self._plane.table.generation >= 0
        return json_response({"live": True, "ready": ready}, 200 if ready else 503)

    def model(self, name: str, version: str | None = None) -> Response:
        """Say what a model takes and gives."""
        endpoint = self._plane.table.endpoint(name)
        found = endpoint.versions[endpoint.asked(version).version]
        return json_response(
            {
                "name": name,
                "versions": [str(number) for number in sorted(endpoint.versions)],
                "platform": PLATFORM,
                "inputs": [
                    {"name": c.name, "datatype": declared(c.type), "shape": [-1]}
                    for c in found.signature.features
                ],
                "outputs": [
                    {"name": o.name, "datatype": o.datatype, "shape": o.shape}
                    for o in found.outputs
                ],
            }
        )

    def model_ready(self, name: str, version: str | None = None) -> Response:
        """Say whether a model answers."""
        self._plane.table.endpoint(name).asked(version)
        return json_response({"name": name, "ready": True})

    def models(self) -> Response:
        """List the models by name."""
        return json_response({"models": sorted(self._plane.table.endpoints)})

    def index(self, request: Request) -> Response:
        """List the models, with the versions that are kept warm.

        Raises:
            HttpError: The body is none of an index request.
        """
        body = self._reception.body(request)
        asked: IndexRequest = decode(_INDEX, body) if body else IndexRequest()
        return json_response(index_of(self._plane.table, ready=asked.ready))

    def load(self, request: Request, name: str) -> Response:
        """Answer a wish to load a model: one that is served is loaded.

        Raises:
            HttpError: It is not served, or is to be loaded in another way than it is.
        """
        body = self._reception.body(request)
        asked: LoadRequest = decode(_LOAD, body) if body else LoadRequest()
        check_loaded(self._plane.table, name, sorted(asked.parameters or ()))
        return json_response({})

    def unload(self, name: str) -> Response:
        """Answer a wish to unload a model: deployments decide that, not clients.

        Raises:
            HttpError: Always.
        """
        self._plane.table.endpoint(name)
        raise HttpError(400, UNLOAD.format(name))

    def infer(self, request: Request, name: str, version: str | None = None) -> Reply:
        """Answer an inference request.

        Raises:
            HttpError: It is refused; the message names the field.
        """
        try:
            if request.head.sender is None:
                check_no_form(request)
            asked, values = self._reader.read(request, self._reception.body(request), name)
            deadline = deadline_of(asked.parameters or {}, request.arrived)
        except HttpError as error:
            self._plane.refuse(name, error.status)
            raise
        content = Inference(asked, values, name)
        return self._plane.submit(
            self._reception.ask(
                request, name, content, version=version, named=asked.id, deadline=deadline
            )
        )


def deadline_of(parameters: Mapping[str, object], arrived: float) -> float:
    """Return when the caller gives up, by Triton's parameter `timeout`, in microseconds.

    Raises:
        HttpError: It is no time.

    Example:
        >>> deadline_of({"timeout": 250_000}, 10.0)
        10.25
    """
    timeout = parameters.get("timeout")
    if timeout is None:
        return math.inf
    if type(timeout) is not int or timeout <= 0:
        raise HttpError(
            400, f"The parameter 'timeout' is {timeout!r}. Expected whole microseconds."
        )
    return arrived + timeout / 1e6


def index_of(table: Table, *, ready: bool) -> list[dict[str, str]]:
    """Return the entries of the repository's index, or those only that are ready."""
    found = [
        {"name": name, "version": str(number), "state": "READY", "reason": ""}
        for name, endpoint in table.endpoints.items()
        for number in endpoint.versions
    ]
    broken = [
        {"name": name, "version": "", "state": "UNAVAILABLE", "reason": reason}
        for name, reason in table.problems.items()
    ]
    return found if ready else [*found, *broken]


def check_loaded(table: Table, name: str, parameters: Sequence[str]) -> None:
    """Return if a model is loaded as a client wishes it to be.

    Raises:
        HttpError: It is not served, or the client brings files or a configuration of its own.
    """
    table.endpoint(name)
    if parameters:
        raise HttpError(
            400,
            f"Model {name!r} is loaded as its deployment says; the parameters "
            f"{', '.join(parameters)} cannot change that. Deploy another version instead.",
        )
