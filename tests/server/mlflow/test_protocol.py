"""MLflow's errors, limits and forms, request by request, as they were recorded."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tidemill.core.clock import SimulatedClock
from tidemill.core.ids import Ids
from tidemill.journal.service import Journal
from tidemill.lineage.service import Lineage
from tidemill.registry.catalogue import Catalogue
from tidemill.registry.service import Registry
from tidemill.server.app import LOCAL
from tidemill.server.guard import Guard
from tidemill.server.mlflow.door import MlflowDoor
from tidemill.server.mlflow.routes import Rooms
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database
from tidemill.tracking.logged_models import LoggedModels
from tidemill.tracking.service import Tracking
from tidemill.webhooks.child import Sender
from tidemill.webhooks.destinations import Allowed
from tidemill.webhooks.sealing import Box
from tidemill.webhooks.service import Webhooks

Ask = Callable[..., httpx.Response]
CORE = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"


@pytest.fixture
def webhooks(
    db: Database, journal: Journal, clock: SimulatedClock, ids: Ids, tmp_path: Path
) -> Iterator[Webhooks]:
    sender = Sender()
    box = Box(tmp_path / "webhooks.key")
    allowed = Allowed("*.example.com,127.0.0.1:9")
    yield Webhooks(db, journal, clock, ids, box, allowed, sender.submit)
    sender.close()


@pytest.fixture
def ask(
    db: Database,
    blobs: LocalBlobs,
    journal: Journal,
    clock: SimulatedClock,
    ids: Ids,
    webhooks: Webhooks,
) -> Ask:
    lineage = Lineage(db, clock)
    rooms = Rooms(
        Tracking(db, blobs, journal, clock, ids),
        LoggedModels(db, blobs, journal, clock, ids),
        Registry(db, journal, lineage, clock),
        Catalogue(db, journal, lineage, clock),
        blobs,
        webhooks,
    )
    app = Guard(MlflowDoor(rooms), LOCAL)

    def call(method: str, path: str, **options: Any) -> httpx.Response:
        async def send() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            base = "http://127.0.0.1"
            async with httpx.AsyncClient(transport=transport, base_url=base) as client:
                return await client.request(method, path, **options)

        return asyncio.run(send())

    return call


@pytest.fixture
def run(ask: Ask) -> str:
    answer = ask("POST", f"{CORE}/runs/create", json={"experiment_id": "0", "user_id": "me"})
    assert answer.status_code == 200, answer.text
    return str(answer.json()["run"]["info"]["run_id"])


def _wrong(answer: httpx.Response, status: int, code: str, text: str) -> None:
    assert (answer.status_code, answer.json()["error_code"]) == (status, code), answer.text
    # Of this code MLflow knows no class.
    assert ("sqlstate" in answer.json()) == (code != "NOT_IMPLEMENTED")
    assert text in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code", "text"),
    [
        ("GET", "runs/get?run_id=abc", None, 404, "RESOURCE_DOES_NOT_EXIST", "id=abc not found"),
        ("GET", "runs/get", None, 400, "INVALID_PARAMETER_VALUE", "required parameter 'run_id'"),
        ("POST", "experiments/create", {"name": ""}, 400, "INVALID_PARAMETER_VALUE", "'name'"),
        ("POST", "experiments/create", {"name": 123}, 400, "INVALID_PARAMETER_VALUE", "123"),
        (
            "GET",
            "experiments/get?experiment_id=999",
            None,
            404,
            "RESOURCE_DOES_NOT_EXIST",
            "No Experiment with id=999 exists",
        ),
        ("POST", "experiments/search", {}, 400, "INVALID_PARAMETER_VALUE", "positive integer"),
        ("POST", "runs/search", {"max_results": 50_001}, 400, "INVALID_PARAMETER_VALUE", "50001"),
        ("POST", "runs/search", {"page_token": "xx"}, 400, "INVALID_PARAMETER_VALUE", "base64"),
        ("POST", "runs/search", {"order_by": ["foo"]}, 400, "INVALID_PARAMETER_VALUE", "'foo'"),
        (
            "POST",
            "runs/search",
            {"filter": "foo.x = 1"},
            400,
            "INVALID_PARAMETER_VALUE",
            "Invalid entity type 'foo'",
        ),
        (
            "POST",
            "runs/search",
            {"max_results": -1},
            400,
            "INVALID_PARAMETER_VALUE",
            "Invalid value -1",
        ),
        ("POST", "runs/search", {"max_results": 0}, 400, "INVALID_PARAMETER_VALUE", "positive"),
        (
            "POST",
            "experiments/update",
            {"experiment_id": "0"},
            400,
            "INVALID_PARAMETER_VALUE",
            "new_name",
        ),
        (
            "POST",
            "experiments/create",
            {"name": "n", "artifact_location": "s3://x?y"},
            400,
            "INVALID_PARAMETER_VALUE",
            "can't include fragments or params",
        ),
        (
            "POST",
            "runs/create",
            {"run_name": "a", "tags": [{"key": "mlflow.runName", "value": "b"}]},
            400,
            "INVALID_PARAMETER_VALUE",
            "Both 'run_name' argument and 'mlflow.runName' tag",
        ),
        ("POST", "logged-models", {}, 400, "INVALID_PARAMETER_VALUE", "'experiment_id'"),
        ("POST", "logged-models/search", {}, 400, "INVALID_PARAMETER_VALUE", "'experiment_ids'"),
        (
            "POST",
            "logged-models",
            {"experiment_id": "0", "name": "a/b"},
            400,
            "INVALID_PARAMETER_VALUE",
            "Invalid model name ('a/b')",
        ),
        (
            "GET",
            "metrics/get-history-bulk",
            None,
            400,
            "INVALID_PARAMETER_VALUE",
            "at least one run_id",
        ),
        ("GET", "artifacts/list?run_id=x&path=../..", None, 404, "RESOURCE_DOES_NOT_EXIST", "id=x"),
        ("GET", "logged-models/m-0", None, 404, "RESOURCE_DOES_NOT_EXIST", "ID 'm-0' not found"),
        ("GET", "nope", None, 404, "ENDPOINT_NOT_FOUND", "There is no"),
        ("GET", "traces/tr-1", None, 501, "NOT_IMPLEMENTED", "does not offer"),
        ("GET", "runs/log-metric", None, 404, "ENDPOINT_NOT_FOUND", "not allowed"),
        ("GET", "runs/create", None, 404, "ENDPOINT_NOT_FOUND", "not allowed"),
    ],
)
def test_a_mistake_is_answered_in_mlflows_words(
    ask: Ask, method: str, path: str, body: object, status: int, code: str, text: str
) -> None:
    _wrong(ask(method, f"{CORE}/{path}", json=body), status, code, text)


@pytest.mark.parametrize(
    ("path", "body", "text"),
    [
        ("log-parameter", {"key": "k" * 251, "value": "1"}, "maximum length of 250"),
        ("log-parameter", {"key": "a/../b", "value": "1"}, "must not resolve to other names"),
        ("log-metric", {"key": "m", "timestamp": 1}, "required parameter 'value'"),
        ("log-metric", {"key": "m", "value": "abc", "timestamp": 1}, 'Invalid value "abc"'),
        ("log-metric", {"key": "m", "value": 1, "timestamp": 2**70}, "timestamp"),
        ("log-metric", {"key": "m", "value": 1, "timestamp": -1}, "must be a nonnegative long"),
        (
            "log-batch",
            {"metrics": [{"key": "m", "value": 1.0, "timestamp": -1}]},
            "parameter 'metrics[0].timestamp'",
        ),
        ("log-metric", {"key": "a//b", "value": 1, "timestamp": 1}, "for parameter 'name'"),
        ("set-tag", {"key": "k" * 251, "value": "v"}, "'key' exceeds the maximum length"),
        ("log-metric", {"key": "m", "value": 1, "timestamp": 1, "step": "x"}, "'step'"),
        ("log-batch", {"metrics": [{"key": "m"}]}, "parameter 'metrics[0].value'"),
        ("log-batch", {"params": [{"value": "1"}]}, "parameter 'params[0].key'"),
        (
            "log-parameter",
            {"key": None, "value": "1"},
            "Missing value for required parameter 'key'",
        ),
        ("outputs", {}, "parameter 'models'"),
        ("log-batch", {"metrics": [{}] * 1001}, "at most 1000 metrics. Got 1001 metrics"),
        ("log-batch", {"params": [{}] * 101}, "at most 100 params"),
        ("log-batch", {"tags": [{}] * 101}, "at most 100 tags"),
        ("log-batch", {"params": [{"key": "z"}, {"key": "z"}]}, "Duplicate parameter keys"),
        ("update", {"status": "DONE"}, "DONE"),
        ("update", {"status": "FINISHED", "end_time": 10**18}, "time"),
    ],
)
def test_a_limit_of_mlflow_holds(
    ask: Ask, run: str, path: str, body: dict[str, object], text: str
) -> None:
    answer = ask("POST", f"{CORE}/runs/{path}", json={"run_id": run} | body)
    _wrong(answer, 400, "INVALID_PARAMETER_VALUE", text)


def test_numbers_may_be_texts_and_runs_have_two_names(ask: Ask, run: str) -> None:
    for value in ("NaN", "Infinity", "1.5", 2):
        body = {"run_uuid": run, "key": "m", "value": value, "timestamp": "1"}
        assert ask("POST", f"{CORE}/runs/log-metric", json=body).json() == {}
    query = {"run_uuid": run, "metric_key": "m", "max_results": "1"}
    page = ask("GET", f"/ajax-api/2.0/mlflow/metrics/get-history?{httpx.QueryParams(query)}").json()
    assert len(page["metrics"]) == 1
    assert page["next_page_token"] == "eyJvZmZzZXQiOjF9"
    info = ask("GET", f"{CORE}/runs/get?run_uuid={run}").json()["run"]["info"]
    assert (info["run_id"], info["run_uuid"], info["user_id"]) == (run, run, "me")


def test_a_deleted_run_takes_nothing(ask: Ask, run: str) -> None:
    ask("POST", f"{CORE}/runs/delete", json={"run_id": run})
    body = {"run_id": run, "key": "m", "value": 1, "timestamp": 1}
    answer = ask("POST", f"{CORE}/runs/log-metric", json=body)
    _wrong(answer, 400, "INVALID_PARAMETER_VALUE", "Current state is deleted")


def test_the_default_experiment_may_be_renamed(ask: Ask) -> None:
    ask("GET", f"{CORE}/experiments/get?experiment_id=0")
    body = {"experiment_id": "0", "new_name": "other"}
    assert ask("POST", f"{CORE}/experiments/update", json=body).status_code == 200
    found = ask("GET", f"{CORE}/experiments/get?experiment_id=0").json()["experiment"]
    assert found["name"] == "other"
    again = ask("POST", f"{CORE}/experiments/create", json={"name": "Default"}).json()
    assert again["experiment_id"] != "0"


def test_no_other_experiment_takes_the_place_of_the_default_one(ask: Ask) -> None:
    made = ask("POST", f"{CORE}/experiments/create", json={"name": "x"}).json()["experiment_id"]
    body = {"experiment_id": made, "new_name": "Default"}
    answer = ask("POST", f"{CORE}/experiments/update", json=body)
    _wrong(answer, 400, "RESOURCE_ALREADY_EXISTS", "already exists")
    zero = ask("GET", f"{CORE}/experiments/get?experiment_id=0").json()["experiment"]
    assert (zero["experiment_id"], zero["name"]) == ("0", "Default")


def test_a_point_of_a_model_that_is_not_there_is_refused(ask: Ask, run: str) -> None:
    body = {"run_id": run, "key": "m", "value": 1, "timestamp": 1, "model_id": "m-0"}
    answer = ask("POST", f"{CORE}/runs/log-metric", json=body)
    _wrong(answer, 404, "RESOURCE_DOES_NOT_EXIST", "m-0")


def test_a_body_must_be_json(ask: Ask) -> None:
    wrong = ask(
        "POST", f"{CORE}/runs/search", content=b"{}", headers={"content-type": "text/plain"}
    )
    _wrong(wrong, 400, "INVALID_PARAMETER_VALUE", "Content-Type")
    json = {"content-type": "application/json"}
    for body in (b"{bad", b"[1]", b"3", b"null", b"\xff\xfe", b"[" * 100_000):
        assert ask("POST", f"{CORE}/runs/search", content=body, headers=json).status_code == 200


def test_files_come_and_go(ask: Ask, run: str) -> None:
    root = f"0/{run}/artifacts"
    content = bytes(range(256)) * 10_000
    assert ask("PUT", f"{FILES}/{root}/a/b.html", content=content).json() == {}
    answer = ask("GET", f"{FILES}/{root}/a/b.html")
    assert answer.content == content
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert ask("GET", FILES, params={"path": f"{root}/a"}).json() == {
        "files": [{"path": "b.html", "is_dir": False, "file_size": len(content)}]
    }
    assert ask("GET", f"/get-artifact?run_id={run}&path=a/b.html").content == content
    listed = ask("GET", f"{CORE}/artifacts/list?run_id={run}").json()
    assert listed["files"] == [{"path": "a", "is_dir": True}]
    assert ask("DELETE", f"{FILES}/{root}/a").json() == {}
    assert ask("GET", FILES, params={"path": root}).json() == {}
    missing = ask("GET", f"{FILES}/{root}/a/b.html")
    _wrong(missing, 404, "RESOURCE_DOES_NOT_EXIST", "a/b.html")


@pytest.mark.parametrize(
    "path", ["..%2f..%2fetc/passwd", "%2e%2e/x", "0/x/artifacts/..%2fy", "0%5cx", "0/x", "%00"]
)
def test_a_path_cannot_leave(ask: Ask, path: str) -> None:
    for method in ("GET", "PUT", "DELETE"):
        answer = ask(method, f"{FILES}/{path}")
        assert answer.status_code in {400, 404}, answer.text
    assert ask("GET", f"{FILES}?path={path}").status_code in {200, 400, 404}


def test_a_run_is_renamed_by_its_tag(ask: Ask, run: str) -> None:
    tag = {"key": "mlflow.runName", "value": "new"}
    for path, body, name in (
        ("set-tag", tag, "new"),
        ("log-batch", {"tags": [tag | {"value": "newer"}]}, "newer"),
        ("set-tag", tag | {"value": ""}, "newer"),
    ):
        assert ask("POST", f"{CORE}/runs/{path}", json={"run_id": run} | body).json() == {}
        kept = ask("GET", f"{CORE}/runs/get?run_id={run}").json()["run"]
        assert kept["info"]["run_name"] == name


def test_a_prompt_does_not_become_a_model(ask: Ask) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    for path in ("registered-models", "model-versions"):
        answer = ask("POST", f"{CORE}/{path}/create", json={"name": "p", "tags": tags})
        _wrong(answer, 501, "NOT_IMPLEMENTED", "does not offer prompts")
    assert ask("GET", f"{CORE}/registered-models/search").json() == {}


def test_what_is_out_of_scope_says_so(ask: Ask) -> None:
    for path in ("/api/3.0/mlflow/traces/search", "/v1/traces", f"{CORE}/gateway/x"):
        _wrong(ask("POST", path, json={}), 501, "NOT_IMPLEMENTED", "does not offer")
    for path, text in (
        ("/api/2.0/mlflow-artifacts/mpu/create/x", "Multipart upload"),
        ("/api/2.0/mlflow-artifacts/presigned/x", "Multipart download"),
    ):
        _wrong(ask("POST", path, json={}), 501, "NOT_IMPLEMENTED", text)
    info = ask("GET", "/api/3.0/mlflow/server-info").json()
    assert info["artifact_serving_enabled"] is True


def test_webhooks_are_made_changed_listed_and_deleted(ask: Ask) -> None:
    event = {"entity": "MODEL_VERSION", "action": "CREATED"}
    body = {"name": "h", "url": "https://a.example.com/x", "events": [event], "secret": "canary"}
    made = ask("POST", f"{CORE}/webhooks", json=body)
    assert "canary" not in made.text
    hook = made.json()["webhook"]
    assert (hook["name"], hook["events"], hook["status"]) == ("h", [event], "ACTIVE")
    one = f"{CORE}/webhooks/{hook['webhook_id']}"
    changed = ask("PATCH", one, json={"status": "DISABLED", "description": "d"}).json()["webhook"]
    assert (changed["status"], changed["description"], changed["name"]) == ("DISABLED", "d", "h")
    assert ask("GET", one).json()["webhook"] == changed
    ask("POST", f"{CORE}/webhooks", json=body | {"name": "other"})
    page = ask("GET", f"{CORE}/webhooks?max_results=1").json()
    rest = ask("GET", f"{CORE}/webhooks?max_results=1&page_token={page['next_page_token']}").json()
    assert {h["name"] for p in (page, rest) for h in p["webhooks"]} == {"h", "other"}
    assert "next_page_token" not in rest
    assert ask("DELETE", one).json() == {}
    _wrong(ask("GET", one), 404, "RESOURCE_DOES_NOT_EXIST", "Webhook with ID")


@pytest.mark.parametrize(
    ("change", "status", "code", "text"),
    [
        ({"url": "http://a.example.com"}, 400, "INVALID_PARAMETER_VALUE", "Allowed schemes are"),
        ({"url": "https://elsewhere.org"}, 403, "PERMISSION_DENIED", "sends no webhooks to"),
        ({"url": "https://169.254.169.254"}, 403, "PERMISSION_DENIED", "169.254.169.254"),
        ({"url": ""}, 400, "INVALID_PARAMETER_VALUE", "'url'"),
        ({"name": "a b"}, 400, "INVALID_PARAMETER_VALUE", "Webhook name 'a b' is invalid"),
        ({"events": []}, 400, "INVALID_PARAMETER_VALUE", "'events'"),
        ({"events": [{"entity": "X"}]}, 400, "INVALID_PARAMETER_VALUE", "Invalid action"),
        ({"events": [{"entity": "PROMPT", "action": "CREATED"}]}, 501, "NOT_IMPLEMENTED", "PROMPT"),
        ({"status": "SLEEPING"}, 400, "INVALID_PARAMETER_VALUE", "SLEEPING"),
    ],
)
def test_a_webhook_that_cannot_be_is_refused(
    ask: Ask, change: dict[str, object], status: int, code: str, text: str
) -> None:
    event = {"entity": "MODEL_VERSION", "action": "CREATED"}
    body = {"name": "h", "url": "https://a.example.com/x", "events": [event]} | change
    _wrong(ask("POST", f"{CORE}/webhooks", json=body), status, code, text)
    assert ask("GET", f"{CORE}/webhooks").json() == {"webhooks": []}


def test_a_test_of_a_webhook_tells_why_it_failed(ask: Ask) -> None:
    event = {"entity": "MODEL_VERSION", "action": "CREATED"}
    body = {"name": "h", "url": "http://127.0.0.1:9/", "events": [event]}
    hook = ask("POST", f"{CORE}/webhooks", json=body).json()["webhook"]["webhook_id"]
    told = ask("POST", f"{CORE}/webhooks/{hook}/test", json={}).json()["result"]
    assert told["success"] is False
    assert "ConnectionRefusedError" in told["error_message"]


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
_FIELDS = [
    "run_id", "experiment_id", "experiment_ids", "key", "value", "timestamp", "step", "metrics",
    "params", "tags", "filter", "order_by", "max_results", "page_token", "name", "models",
    "datasets", "status", "end_time", "start_time", "run_view_type", "new_name",
    "url", "events", "secret", "description",
]  # fmt: skip


@settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    path=st.sampled_from(
        [
            "runs/create",
            "runs/update",
            "runs/log-metric",
            "runs/log-parameter",
            "runs/set-tag",
            "runs/log-batch",
            "runs/search",
            "runs/log-inputs",
            "runs/outputs",
            "logged-models",
            "logged-models/search",
            "experiments/create",
            "experiments/search",
            "experiments/update",
            "experiments/set-experiment-tag",
            "webhooks",
        ]
    ),
    body=st.dictionaries(st.sampled_from(_FIELDS), _JSON, max_size=6),
)
def test_no_body_is_answered_with_5xx(
    ask: Ask, run: str, path: str, body: dict[str, object]
) -> None:
    import json

    named = {"run_id": run, "experiment_id": "0"} | body
    answer = ask(
        "POST",
        f"{CORE}/{path}",
        content=json.dumps(named).encode(),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code < 500, answer.text
