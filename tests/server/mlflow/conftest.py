"""A real server process; and programs that other interpreters run, not collected here."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.control_plane import running

collect_ignore = [
    "client_flow.py",
    "client_frameworks.py",
    "client_models.py",
    "client_torch.py",
    "client_webhooks.py",
]


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    with running(tmp_path / "home") as server:
        yield server.address
