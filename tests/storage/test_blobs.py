"""Blobs in a local folder."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import BinaryIO, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core.errors import OutOfSpace
from tidemill.storage.blobs.errors import BlobDamaged, NoSpaceForBlobs
from tidemill.storage.blobs.hashing import PIECE, Hasher
from tidemill.storage.blobs.local import AHEAD, LocalBlobs
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.testing.blob_stores import BlobStoreContract


class TestLocalBlobs(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return LocalBlobs(tmp_path / "blobs")


def test_a_changed_blob_is_not_read(blobs: LocalBlobs) -> None:
    blob = blobs.put(b"true")
    _overwrite(blobs.locate(blob.digest), b"fake")
    with pytest.raises(BlobDamaged, match=blob.digest):
        blobs.read(blob.digest)


def test_a_cut_blob_is_mended_by_storing_it_again(blobs: LocalBlobs) -> None:
    blob = blobs.put(b"whole")
    _overwrite(blobs.locate(blob.digest), b"who")
    assert blobs.put(b"whole") == blob
    assert blobs.read(blob.digest) == b"whole"


def test_blobs_cannot_be_written(blobs: LocalBlobs) -> None:
    mode = blobs.locate(blobs.put(b"x").digest).stat().st_mode
    assert stat.S_IMODE(mode) == 0o444


@given(sizes=st.lists(st.sampled_from([0, 1, 1000, PIECE - 1, PIECE]), max_size=9))
def test_the_digest_of_pieces_is_that_of_the_whole(sizes: list[int]) -> None:
    pieces = [bytes([number]) * size for number, size in enumerate(sizes)]
    with Hasher() as hasher:
        for piece in pieces:
            buffer = hasher.buffer()
            buffer[: len(piece)] = piece
            hasher.feed(buffer, len(piece))
        assert hasher.digest() == hashlib.sha256(b"".join(pieces)).hexdigest()


class _Reads:
    """What can only be read, a little at a time."""

    def __init__(self, content: bytes) -> None:
        self._inner = io.BytesIO(content)

    def read(self, size: int = -1) -> bytes:
        return self._inner.read(min(size, 300_000))


def test_whatever_reads_is_stored(blobs: LocalBlobs) -> None:
    content = bytes(range(251)) * 20_000
    assert blobs.put(cast("BinaryIO", _Reads(content))) == blobs.put(content)


def test_no_draft_stays(blobs: LocalBlobs) -> None:
    blobs.put(b"x")
    blobs.put(b"x")
    assert list(blobs.drafts()) == []


def test_the_disk_begins_early_with_a_long_stream(
    blobs: LocalBlobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(251)) * (2 * AHEAD // 251 + 9)
    begun: list[tuple[int, int]] = []
    real = os.posix_fadvise

    def note(descriptor: int, start: int, length: int, advice: int) -> None:
        assert os.fstat(descriptor).st_size >= start + length
        begun.append((start, length))
        real(descriptor, start, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", note)
    blob = blobs.put(io.BytesIO(content))
    assert begun == [(0, AHEAD), (AHEAD, AHEAD)]
    assert blob.digest == hashlib.sha256(content).hexdigest()
    assert blobs.read(blob.digest) == content


def test_the_reserve_for_metadata_is_kept(tmp_path: Path) -> None:
    blobs = LocalBlobs(tmp_path / "blobs", reserve=1 << 60)
    with pytest.raises(NoSpaceForBlobs, match=r"to stay free, for metadata") as caught:
        blobs.put(b"x")
    assert isinstance(caught.value, OutOfSpace)
    assert list(blobs.digests()) == []
    assert list(blobs.drafts()) == []


def test_a_limit_on_file_size_stores_nothing(tmp_path: Path) -> None:
    """The kernel refuses a write halfway, as it does on a full disk."""
    program = """
import resource, sys
from pathlib import Path
from tidemill.storage.blobs.hashing import PIECE, Hasher
from tidemill.storage.blobs.local import LocalBlobs
blobs = LocalBlobs(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
try:
    blobs.put(bytes(1 << 17))
except OSError as error:
    print(error.strerror, list(blobs.digests()), list(blobs.drafts()))
"""
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "blobs")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "File too large [] []\n"


def test_two_stores_may_share_a_folder(tmp_path: Path) -> None:
    one, two = LocalBlobs(tmp_path / "blobs"), LocalBlobs(tmp_path / "blobs")
    blob = one.put(b"x")
    assert two.read(blob.digest) == b"x"


def test_the_folder_is_synced_before_put_returns(tmp_path: Path) -> None:
    """Measured: without syncing the folder a power loss takes acknowledged blobs away."""
    strace = Path("/usr/bin/strace")
    if not strace.exists():
        pytest.skip("strace is not installed")
    program = """
import sys
from pathlib import Path
from tidemill.storage.blobs.hashing import PIECE, Hasher
from tidemill.storage.blobs.local import LocalBlobs
blobs = LocalBlobs(Path(sys.argv[1]))
print("before", flush=True)
blobs.put(b"x")
print("after", flush=True)
"""
    log = tmp_path / "log"
    subprocess.run(
        [
            *(strace, "-y", "-e", "trace=fsync,rename,renameat,renameat2,write", "-o", log),
            *(sys.executable, "-c", program, tmp_path / "blobs"),
        ],
        check=True,
        capture_output=True,
    )
    lines = log.read_text().splitlines()
    first = next(n for n, line in enumerate(lines) if '"before' in line)
    last = next(n for n, line in enumerate(lines) if '"after' in line)
    calls = [line for line in lines[first + 1 : last] if not line.startswith("write")]
    assert [call.partition("(")[0] for call in calls] == ["fsync", "rename", "fsync"]
    assert "/drafts/" in calls[0]
    assert "/drafts/" not in calls[2]


def _overwrite(path: Path, content: bytes) -> None:
    path.chmod(0o644)
    path.write_bytes(content)
