"""What power loss may take: nothing that was acknowledged, by the order of writes and syncs.

A kill leaves what the kernel holds, so it cannot show a sync that is missing. Here the calls
themselves are looked at.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from tests.system_calls import Call, after, calls, traced

from tidemill.core import digest as digests

PROGRAMS = Path(__file__).parent / "programs"
CONTENT = "needle " * 100


def put(folder: Path) -> list[Call]:
    log = folder / "trace"
    command = [sys.executable, str(PROGRAMS / "putting.py"), str(folder / "blobs"), CONTENT]
    done = subprocess.run(
        [*traced(log), *command], check=True, capture_output=True, text=True, timeout=100
    )
    assert done.stdout == "acknowledged"
    return calls(log)


def test_a_blob_is_on_disk_under_its_name_before_it_is_acknowledged(tmp_path: Path) -> None:
    made = put(tmp_path)
    digest = digests.of_bytes(CONTENT.encode())
    folder = str(tmp_path / "blobs" / digest[:2])
    renamed = next(c for c in made if c.name.startswith("rename") and digest[2:] in c.said)
    draft = renamed.said.split('"')[1]
    written = [c for c in made if c.name in {"write", "pwrite64", "writev"} and c.on(draft)]
    assert sum(c.result for c in written) == len(CONTENT)
    synced = after(made, written[-1].ended, "fsync", on=draft)
    assert synced.ended < renamed.begun
    named = after(made, renamed.ended, "fsync", on=folder)
    said = next(c for c in made if c.name == "write" and '"acknowledged"' in c.said)
    assert named.ended < said.begun


def test_the_folders_of_a_new_store_are_on_disk_before_it_is_used(tmp_path: Path) -> None:
    made = put(tmp_path)
    above = after(made, -1, "fsync", on=str(tmp_path))
    said = next(c for c in made if c.name == "write" and '"acknowledged"' in c.said)
    assert above.ended < said.begun
    with pytest.raises(AssertionError, match="nothing of"):
        after(made, said.ended, "fsync", on=str(tmp_path))


def test_bytes_that_are_there_already_are_synced_again(tmp_path: Path) -> None:
    """Whoever put them first may not have come to that yet."""
    put(tmp_path)
    made = put(tmp_path)
    digest = digests.of_bytes(CONTENT.encode())
    assert not any(c.name.startswith("rename") for c in made)
    named = after(made, -1, "fsync", on=str(tmp_path / "blobs" / digest[:2]))
    said = next(c for c in made if c.name == "write" and '"acknowledged"' in c.said)
    assert named.ended < said.begun
