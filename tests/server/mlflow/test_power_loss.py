"""An answer of the server means that power may go: the calls it made before it, in their order."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.control_plane import running
from tests.system_calls import Call, after, calls, traced

from tidemill.core import digest as digests

CORE = "/api/2.0/mlflow"
FILES = "/api/2.0/mlflow-artifacts/artifacts"
CONTENT = b"needle of an artifact " * 200
SENT = ("write", "writev", "sendto", "sendmsg")


@dataclass(frozen=True)
class Trace:
    """What a server did.

    Attributes:
        home: Its home.
        made: Its calls.
        clients: The address of the connection of each request.
    """

    home: Path
    made: list[Call]
    clients: dict[str, str]

    def answer(self, request: str) -> Call:
        """Return the first call that sent something to the one who asked."""
        client = self.clients[request]
        said = next(c for c in self.made if c.name in SENT and c.on(f"->{client}"))
        assert "HTTP/1.1 200" in said.said
        return said

    def synced(self, needle: str) -> tuple[Call, Call]:
        """Return the call that wrote text to the database's log, and the sync after it."""
        log = str(self.home / "tidemill.db-wal")
        written = next(
            c for c in self.made if c.name == "pwrite64" and c.on(log) and needle in c.said
        )
        return written, after(self.made, written.ended, "fsync", "fdatasync", on=log)


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    folder = tmp_path_factory.mktemp("power")
    home, log = folder / "home", folder / "trace"
    clients: dict[str, str] = {}

    def ask(name: str, method: str, path: str, body: bytes) -> dict[str, Any]:
        connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=60)
        connection.connect()
        host, port = connection.sock.getsockname()
        clients[name] = f"{host}:{port}"
        connection.request(method, path, body, {"Content-Type": "application/json"})
        answer = connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        connection.close()
        return json.loads(content) if content else {}

    with running(home, under=traced(log)) as server:
        address = server.address
        made = ask("run", "POST", f"{CORE}/runs/create", b'{"experiment_id": "0"}')
        run = made["run"]["info"]["run_id"]
        point = {"key": "needle_of_a_metric", "value": 1.5, "timestamp": 1, "step": 0}
        batch = {"run_id": run, "metrics": [point]}
        ask("batch", "POST", f"{CORE}/runs/log-batch", json.dumps(batch).encode())
        ask("file", "PUT", f"{FILES}/0/{run}/artifacts/needle_of_a_file.txt", CONTENT)
    return Trace(home, calls(log), clients)


def test_a_batch_is_synced_before_its_answer(trace: Trace) -> None:
    written, synced = trace.synced("needle_of_a_metric")
    assert written.ended < synced.begun
    assert synced.ended < trace.answer("batch").begun


def test_a_file_is_synced_then_named_then_told_of_before_its_answer(trace: Trace) -> None:
    digest = digests.of_bytes(CONTENT)
    renamed = next(c for c in trace.made if c.name.startswith("rename") and digest[2:] in c.said)
    draft = renamed.said.split('"')[1]
    written = [c for c in trace.made if c.name in {"write", "pwrite64"} and c.on(draft)]
    assert sum(c.result for c in written) == len(CONTENT)
    synced = after(trace.made, written[-1].ended, "fsync", on=draft)
    assert synced.ended < renamed.begun
    named = after(trace.made, renamed.ended, "fsync", on=str(trace.home / "blobs" / digest[:2]))
    row, kept = trace.synced("needle_of_a_file.txt")
    assert named.ended < row.begun
    assert kept.ended < trace.answer("file").begun
