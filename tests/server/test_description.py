"""Whatever the server's own description allows, no request makes it fail."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from tests.control_plane import ControlPlane


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseSchema]:
    server = ControlPlane(tmp_path_factory.mktemp("described") / "home")
    try:
        yield schemathesis.openapi.from_url(f"{server.address}/openapi.json")
    finally:
        server.stop()


@pytest.mark.timeout(600)
def test_no_request_makes_it_fail(described: BaseSchema) -> None:
    tried = 0
    for found in described.get_all_operations():
        operation = found.ok()

        @settings(
            max_examples=12, deadline=None, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def attempt(case: schemathesis.Case) -> None:
            case.call_and_validate(checks=[not_a_server_error])

        attempt()
        tried += 1
    assert tried > 100


def test_every_operation_and_route_is_described(described: BaseSchema) -> None:
    paths = described.raw_schema["paths"]
    for path, method in (
        ("/api/status", "get"),
        ("/api/deploy", "post"),
        ("/api/2.0/mlflow/runs/log-batch", "post"),
        ("/api/2.0/mlflow/logged-models/{model_id}", "patch"),
        ("/get-artifact", "get"),
    ):
        assert method in paths[path]
