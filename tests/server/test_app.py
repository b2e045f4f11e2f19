"""The control plane: what it answers, whom it refuses, and the one shape of its errors."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tidemill.home import Home
from tidemill.server.app import create_app
from tidemill.server.operations import Operations, changing, operation_names


@pytest.fixture
def operations(tmp_path: Path) -> Iterator[Operations]:
    with Home.open(tmp_path / "home") as home:
        yield Operations(home)


def test_health_status_metrics_and_page(operations: Operations) -> None:
    async def talk() -> None:
        async with client(operations) as http:
            assert (await http.get("/health")).text == "OK"
            assert (await http.get("/api/status")).json()["models"] == []
            assert b"tidemill_traffic_ratio" in (await http.get("/metrics")).content
            page = await http.get("/")
            assert page.headers["content-type"].startswith("text/html")
            for name in ("style.css", "status.js"):
                assert (await http.get(f"/page/{name}")).status_code == 200

    asyncio.run(talk())


def test_every_error_has_the_same_shape(operations: Operations) -> None:
    async def talk() -> None:
        async with client(operations) as http:
            answers = [
                await http.get("/api/nonsense"),
                await http.get("/nowhere"),
                await http.get("/page/..%2fapp.py"),
                await http.get("/page/app.py"),
                await http.get("/api/version", params={"ref": "model:nobody@1"}),
                await http.get("/api/version"),
                await http.get("/api/version", params={"ref": "x", "more": "y"}),
                await http.get("/api/runs", params={"limit": "many"}),
                await http.get("/api/train", params={"model": "m"}),
                await http.post("/api/train", content=b"{"),
                await http.post("/api/train", content=b"[]"),
                await http.post("/api/train", content=b"[" * 100_000),
                await http.post("/api/train", json={"model": 7}),
                await http.post("/health"),
                await http.get("/api/__init__"),
                await http.get("/api/_endpoint"),
                await http.get("/health", headers={"Host": "evil.example"}),
            ]
        for answer in answers:
            assert 400 <= answer.status_code < 500, answer.text
            error = answer.json()["error"]
            assert set(error) == {"code", "message", "expected", "hint"}
            assert error["code"].replace("_", "").isupper()
            assert "Traceback" not in answer.text

    asyncio.run(talk())


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Host": "rebound.example"},
        {"Host": ""},
    ],
)
def test_nothing_changes_on_the_word_of_a_foreign_page(
    operations: Operations, headers: dict[str, str]
) -> None:
    async def talk() -> None:
        async with client(operations) as http:
            for name in filter(changing, operation_names()):
                answer = await http.post(f"/api/{name}", headers=headers, json={})
                assert answer.status_code == 403, (name, answer.text)

    asyncio.run(talk())


def test_a_body_over_the_limit_is_refused_before_it_is_read(operations: Operations) -> None:
    async def talk() -> None:
        async with client(operations) as http:
            answer = await http.post("/api/train", content=b" " * (2 << 20))
            assert answer.status_code == 413

    asyncio.run(talk())


def test_operations_that_change_something_need_post(operations: Operations) -> None:
    async def talk() -> None:
        async with client(operations) as http:
            for name in filter(changing, operation_names()):
                assert (await http.get(f"/api/{name}")).status_code == 400, name

    asyncio.run(talk())


def client(operations: Operations) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(create_app(operations))
    return httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1")
