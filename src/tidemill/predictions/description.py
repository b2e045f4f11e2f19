"""The types of versions' columns, beside the log: a worker writes them once, readers go by them."""

from __future__ import annotations

import contextlib
from pathlib import Path

import msgspec

from tidemill.core.digest import of_record
from tidemill.predictions.records import Described
from tidemill.predictions.segments import columns_folder, write_whole


def describe(root: Path, endpoint: str, described: Described) -> None:
    """Write down the types of a version's columns, where nobody has."""
    model = of_record(described.model)[:12]
    path = columns_folder(root, endpoint) / f"{described.version}-{model}.json"
    content = msgspec.json.encode(described)
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return
    write_whole(path, content)


def read_descriptions(root: Path, endpoint: str) -> tuple[Described, ...]:
    """Return the types of the columns of all versions that an endpoint has had."""
    found = []
    for path in sorted(columns_folder(root, endpoint).glob("*.json")):
        with contextlib.suppress(msgspec.DecodeError):
            found.append(msgspec.json.decode(path.read_bytes(), type=Described))
    return tuple(found)
