"""Garbage collection and scrubbing of blobs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidemill.core import digest as digests
from tidemill.core.clock import SystemClock
from tidemill.storage.blobs.collection import collect, reachable
from tidemill.storage.blobs.errors import BlobDamaged
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.blobs.scrubbing import scrub
from tidemill.storage.blobs.trees import put_tree

LONG_AGO = 1_000_000_000


def test_what_nothing_names_goes_after_the_grace_period(blobs: LocalBlobs, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"inside")
    tree = put_tree(blobs, folder)
    named, orphan = blobs.put(b"named"), blobs.put(b"orphan")
    _age(blobs)
    young = blobs.put(b"young")
    roots = reachable(blobs, blobs=[named.digest], trees=[tree.digest])
    result = collect(blobs, roots, clock=SystemClock())
    assert (result.named, result.removed, result.young, result.freed) == (3, 1, 1, orphan.size)
    assert not blobs.has(orphan.digest)
    assert blobs.has(young.digest)
    assert blobs.has(digests.of_bytes(b"inside"))


def test_storing_again_renews_the_grace(blobs: LocalBlobs) -> None:
    blob = blobs.put(b"again")
    _age(blobs)
    blobs.put(b"again")
    assert collect(blobs, set(), clock=SystemClock()).removed == 0
    assert blobs.has(blob.digest)


def test_drafts_of_killed_puts_are_swept(blobs: LocalBlobs, tmp_path: Path) -> None:
    old, new = tmp_path / "blobs/drafts/old", tmp_path / "blobs/drafts/new"
    old.write_bytes(b"12345")
    os.utime(old, (LONG_AGO, LONG_AGO))
    new.write_bytes(b"under way")
    result = collect(blobs, set(), clock=SystemClock())
    assert (result.drafts, result.freed) == (1, 5)
    assert new.exists()


def test_a_damaged_manifest_stops_the_collection(blobs: LocalBlobs, tmp_path: Path) -> None:
    """Otherwise the files that it names would be taken for garbage."""
    (tmp_path / "empty").mkdir()
    tree = put_tree(blobs, tmp_path / "empty")
    path = blobs.locate(tree.digest)
    path.chmod(0o644)
    path.write_bytes(b"[x")
    with pytest.raises(BlobDamaged):
        reachable(blobs, blobs=[], trees=[tree.digest])


def test_a_blob_stored_while_it_is_collected_is_there_afterwards(blobs: LocalBlobs) -> None:
    digest = blobs.put(b"contended").digest
    with ThreadPoolExecutor(2) as pool:
        for _ in range(200):
            _age(blobs)
            put = pool.submit(blobs.put, b"contended")
            taken = pool.submit(blobs.delete_if_older, digest, LONG_AGO + 1)
            put.result()
            taken.result()
            assert blobs.has(digest)


def test_a_scrub_names_what_is_damaged(blobs: LocalBlobs) -> None:
    good, bad = blobs.put(b"good"), blobs.put(b"bad!")
    path = blobs.locate(bad.digest)
    path.chmod(0o644)
    path.write_bytes(b"dab!")
    seen: list[int] = []
    result = scrub(blobs, on_progress=seen.append)
    assert (result.checked, result.size, result.damaged) == (2, 8, (bad.digest,))
    assert seen == [1, 2]
    blobs.set_aside(bad.digest)
    assert not blobs.has(bad.digest)
    assert scrub(blobs).damaged == ()
    assert blobs.put(b"bad!") == bad
    assert sorted(blobs.digests()) == sorted([good.digest, bad.digest])


def _age(blobs: LocalBlobs) -> None:
    for digest in blobs.digests():
        os.utime(blobs.locate(digest), (LONG_AGO, LONG_AGO))
