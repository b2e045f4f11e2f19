"""Folders as blobs."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.core import digest as digests
from tidemill.storage.blobs.errors import BlobDamaged, BlobNotFound, FolderNotFound, UnsafeName
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.blobs.records import TreeEntry
from tidemill.storage.blobs.trees import check_names, get_tree, put_tree, read_tree

UNSAFE = [
    "",
    "..",
    "../x",
    "a/../../x",
    "/etc/passwd",
    "a//b",
    "a/",
    "./a",
    "a\\b",
    "C:/x",
    "a\x00b",
    "a\nb",
    "x" * 256,
    "/".join("a" * 101),
    "con",
    "NUL.txt",
    "name.",
    "name ",
    "\udcff",
]


@pytest.mark.parametrize("path", UNSAFE, ids=repr)
def test_an_unsafe_name_is_refused_on_the_way_out(
    blobs: LocalBlobs, tmp_path: Path, path: str
) -> None:
    blob = blobs.put(b"x")
    if "\udcff" in path:
        with pytest.raises(UnsafeName):
            check_names([path])
        return
    manifest = blobs.put(digests.canonical([TreeEntry(path, blob.digest, 1)]))
    with pytest.raises(UnsafeName):
        get_tree(blobs, manifest.digest, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "names", [["a", "A"], ["é", "e\u0301"], ["a", "a/b"], ["A/x", "a"], ["x", "x"]], ids=repr
)
def test_names_that_clash_somewhere_are_refused(names: list[str]) -> None:
    with pytest.raises(UnsafeName, match="one name"):
        check_names(names)


def test_a_name_that_is_no_text_is_refused_on_the_way_in(blobs: LocalBlobs, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / os.fsdecode(b"\xff")).write_bytes(b"x")
    with pytest.raises(UnsafeName):
        put_tree(blobs, folder)
    assert list(blobs.digests()) == []


def test_links_are_neither_followed_nor_stored(blobs: LocalBlobs, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    (folder / "out").symlink_to("/etc/passwd")
    (folder / "loop").symlink_to(folder)
    assert [e.path for e in read_tree(blobs, put_tree(blobs, folder).digest)] == ["a"]


def test_the_same_files_have_the_same_digest_wherever_they_lie(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    for name, order in (("one", "ab"), ("two", "ba")):
        (tmp_path / name).mkdir()
        for letter in order:
            (tmp_path / name / letter).write_text(letter)
    assert put_tree(blobs, tmp_path / "one") == put_tree(blobs, tmp_path / "two")


def test_files_are_hard_links_to_the_store(blobs: LocalBlobs, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    tree = put_tree(blobs, folder)
    get_tree(blobs, tree.digest, tmp_path / "out")
    stored = blobs.locate(digests.of_bytes(b"a"))
    assert (tmp_path / "out" / "a").stat().st_ino == stored.stat().st_ino


def test_a_folder_with_a_missing_file_is_not_written(blobs: LocalBlobs, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "a").write_bytes(b"a")
    (folder / "b").write_bytes(b"b")
    tree = put_tree(blobs, folder)
    blobs.delete(digests.of_bytes(b"b"))
    with pytest.raises(BlobNotFound):
        get_tree(blobs, tree.digest, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["blobs", "folder"]


def test_a_folder_that_is_not_there_is_not_stored_as_an_empty_one(
    blobs: LocalBlobs, tmp_path: Path
) -> None:
    with pytest.raises(FolderNotFound, match="nowhere"):
        put_tree(blobs, tmp_path / "nowhere")


def test_a_blob_that_is_no_manifest_says_so(blobs: LocalBlobs, tmp_path: Path) -> None:
    for content in (b"hello", b"{}", b"[1]", msgspec.json.encode([{"path": "a"}])):
        with pytest.raises(BlobDamaged, match="not the manifest"):
            get_tree(blobs, blobs.put(content).digest, tmp_path / "out")


names = st.text(st.characters(codec="utf-8"), max_size=20)


@given(st.lists(names, max_size=6))
def test_a_path_that_passes_stays_inside(paths: list[str]) -> None:
    path = "/".join(paths)
    try:
        check_names([path])
    except UnsafeName:
        return
    root = Path("/root/of/it")
    assert Path(os.path.normpath(root / path)).is_relative_to(root)
    assert Path(os.path.normpath(root / path)) != root
