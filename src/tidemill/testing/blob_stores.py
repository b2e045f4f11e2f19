"""What every blob store must do. Subclass `BlobStoreContract` and give it a `store` fixture.

class TestMyStore(BlobStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> BlobStore:
        return MyStore(tmp_path)
"""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tidemill.core import digest as digests
from tidemill.storage.blobs.errors import BlobNotFound
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.trees import get_tree, put_tree

CONTENT = b"the quick brown fox" * 1000
ABSENT = digests.of_bytes(b"never stored")


class BlobStoreContract:
    """The contract of `BlobStore`; an empty store is expected from the `store` fixture."""

    @pytest.fixture
    def store(self) -> BlobStore:
        """An empty store."""
        raise NotImplementedError("give the suite a store fixture")

    def test_names_bytes_by_their_digest(self, store: BlobStore) -> None:
        blob = store.put(CONTENT)
        assert blob.digest == digests.of_bytes(CONTENT)
        assert blob.size == len(CONTENT)
        assert store.read(blob.digest) == CONTENT

    def test_takes_bytes_streams_and_files_alike(self, store: BlobStore, tmp_path: Path) -> None:
        file = tmp_path / "content"
        file.write_bytes(CONTENT)
        assert store.put(CONTENT) == store.put(io.BytesIO(CONTENT)) == store.put(file)

    def test_keeps_the_empty_blob(self, store: BlobStore) -> None:
        blob = store.put(b"")
        assert blob.size == 0
        assert store.read(blob.digest) == b""

    def test_opens_a_blob_as_a_stream(self, store: BlobStore) -> None:
        with store.open(store.put(CONTENT).digest) as stream:
            assert stream.read(9) == CONTENT[:9]

    def test_locates_a_file_with_the_bytes(self, store: BlobStore) -> None:
        assert store.locate(store.put(CONTENT).digest).read_bytes() == CONTENT

    def test_lists_each_blob_once(self, store: BlobStore) -> None:
        stored = {store.put(text).digest for text in (b"a", b"b", b"a")}
        assert sorted(store.digests()) == sorted(stored)

    def test_tells_what_is_there(self, store: BlobStore) -> None:
        blob = store.put(CONTENT)
        assert store.has(blob.digest)
        assert not store.has(ABSENT)

    def test_deletes_and_deletes_again(self, store: BlobStore) -> None:
        blob = store.put(CONTENT)
        store.delete(blob.digest)
        store.delete(blob.digest)
        assert not store.has(blob.digest)

    @pytest.mark.parametrize("verb", ["open", "read", "locate"])
    @pytest.mark.parametrize("digest", [ABSENT, "", "../../etc/passwd", "A" * 64, "é" * 64])
    def test_says_what_is_not_there(self, store: BlobStore, verb: str, digest: str) -> None:
        with pytest.raises(BlobNotFound):
            getattr(store, verb)(digest)

    def test_stores_nothing_when_the_source_fails(self, store: BlobStore) -> None:
        with pytest.raises(ConnectionResetError):
            store.put(_BrokenStream())
        assert list(store.digests()) == []

    def test_many_may_store_the_same_at_once(self, store: BlobStore) -> None:
        with ThreadPoolExecutor(8) as pool:
            blobs = set(pool.map(lambda _: store.put(io.BytesIO(CONTENT)), range(32)))
        assert len(blobs) == 1
        assert store.read(blobs.pop().digest) == CONTENT

    def test_keeps_folders(self, store: BlobStore, tmp_path: Path) -> None:
        folder = tmp_path / "folder"
        (folder / "inner").mkdir(parents=True)
        (folder / "inner" / "b").write_bytes(b"b")
        (folder / "a").write_bytes(b"a")
        tree = put_tree(store, folder)
        get_tree(store, tree.digest, tmp_path / "again")
        assert (tmp_path / "again" / "inner" / "b").read_bytes() == b"b"
        assert put_tree(store, tmp_path / "again") == tree


class _BrokenStream(io.BytesIO):
    """Gives a little and then fails, as a connection does."""

    def __init__(self) -> None:
        super().__init__(b"some")

    def read(self, size: int | None = -1) -> bytes:
        given = super().read(size)
        if not given:
            raise ConnectionResetError("the other side hung up")
        return given
