"""Hostile and broken bundles: refused with one clear message, before anything of them is run."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import msgspec
import onnx
import pytest
from onnx import TensorProto, helper

from tidemill.core import digest
from tidemill.models.bundle import MANIFEST, open_bundle
from tidemill.models.errors import BundleDamaged, BundleNotFound, CannotBeSaved, NotTrusted
from tidemill.models.external import refuse_external_data
from tidemill.models.loading import load_original
from tidemill.models.packing import pack
from tidemill.models.session import OnnxModel
from tidemill.testing.flavors import WHEN, contract_of

from .examples import onnx_regression, sklearn_regression


class Bomb:
    """Says so when it is unpickled."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.mkdir, ("exploded",)


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    example = sklearn_regression()
    pack(
        example.model,
        name="m",
        task=example.task,
        contract=contract_of(example.rows),
        sample=example.rows,
        folder=tmp_path / "bundle",
        created=WHEN,
    )
    return tmp_path / "bundle"


def forge(bundle: Path, name: str, content: bytes) -> None:
    """Put a file into a bundle and let the manifest vouch for it, as its author could."""
    (bundle / name).write_bytes(content)
    manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes())
    manifest["files"] = [f for f in manifest["files"] if f["path"] != name]
    manifest["files"].append(
        {"path": name, "size": len(content), "digest": digest.of_bytes(content)}
    )
    (bundle / MANIFEST).write_bytes(msgspec.json.encode(manifest))


def rewrite(bundle: Path, **changes: Any) -> None:
    manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes())
    (bundle / MANIFEST).write_bytes(msgspec.json.encode(manifest | changes))


def test_a_pickle_named_onnx_is_not_unpickled(bundle: Path) -> None:
    forge(bundle, "model.onnx", pickle.dumps(Bomb()))
    with pytest.raises(BundleDamaged, match="no ONNX graph"):
        OnnxModel(bundle)
    assert not Path("exploded").exists()


def test_a_pickle_named_skops_is_not_unpickled(bundle: Path) -> None:
    forge(bundle, "model.skops", pickle.dumps(Bomb()))
    with pytest.raises(BundleDamaged, match=r"model\.skops"):
        load_original(bundle, trust="own")
    assert not Path("exploded").exists()


def test_a_pickle_is_not_unpickled_without_trust(bundle: Path) -> None:
    forge(bundle, "model.pickle", pickle.dumps(Bomb()))
    rewrite(bundle, original="model.pickle", saved_as="pickle")
    with pytest.raises(NotTrusted):
        load_original(bundle, trust="never")
    assert not Path("exploded").exists()


def test_a_skops_file_may_not_name_other_types(bundle: Path) -> None:
    import skops.io

    forge(bundle, "model.skops", skops.io.dumps(Bomb()))
    with pytest.raises(NotTrusted, match="Bomb"):
        load_original(bundle, trust="own")


def external(location: str) -> onnx.ModelProto:
    """A graph whose weights lie in another file."""
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[10, 1])
    weights.data_location = TensorProto.EXTERNAL
    entry = weights.external_data.add()
    entry.key, entry.value = "location", location
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 10])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


@pytest.mark.parametrize("location", ["weights.bin", "../secret", "/etc/passwd"])
def test_external_data_is_refused_wherever_it_lies(
    bundle: Path, tmp_path: Path, location: str
) -> None:
    for place in (bundle / "weights.bin", tmp_path / "secret", tmp_path / "weights.bin"):
        place.write_bytes(bytes(40))
    forge(bundle, "model.onnx", external(location).SerializeToString())
    with pytest.raises(BundleDamaged, match="other files"):
        OnnxModel(bundle)


def test_external_data_deep_inside_is_found() -> None:
    inner = external("x").graph
    branch = helper.make_node("If", ["c"], ["y"], then_branch=inner, else_branch=inner)
    graph = helper.make_graph(
        [branch],
        "g",
        [helper.make_tensor_value_info("c", TensorProto.BOOL, [])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 1])],
    )
    model = helper.make_model(graph)
    with pytest.raises(BundleDamaged, match="other files"):
        refuse_external_data(model.SerializeToString())


def test_a_graph_that_only_says_location_is_fine() -> None:
    model = onnx.ModelProto()
    model.CopyFrom(onnx_regression().model)
    model.doc_string = "location"
    refuse_external_data(model.SerializeToString())


def test_a_graph_with_external_data_is_not_packed(tmp_path: Path) -> None:
    example = onnx_regression()
    with pytest.raises((BundleDamaged, CannotBeSaved), match="other files"):
        pack(
            external("weights.bin"),
            name="m",
            task="regression",
            contract=contract_of(example.rows),
            sample=example.rows,
            folder=tmp_path / "b",
            created=WHEN,
        )


def test_an_unknown_operator_is_refused(bundle: Path) -> None:
    model = onnx.ModelProto()
    model.CopyFrom(onnx_regression().model)
    model.graph.node[0].op_type = "Frobnicate"
    forge(bundle, "model.onnx", model.SerializeToString())
    with pytest.raises(BundleDamaged, match="Frobnicate"):
        OnnxModel(bundle)


@pytest.mark.parametrize("content", [b"", b"\x00", b"not a graph", b"\x08\x09\x3a\xff\xff\xff\x0f"])
def test_a_corrupt_graph_is_refused(bundle: Path, content: bytes) -> None:
    forge(bundle, "model.onnx", content)
    with pytest.raises(BundleDamaged):
        OnnxModel(bundle)


@pytest.mark.parametrize(
    "name",
    [
        "../secret",
        "/etc/passwd",
        "a/../../secret",
        "..\\secret",
        "C:secret",
        "a//b",
        "./a",
        "",
        "a/",
        "nul\0",
        "line\nbreak",
        "x" * 300,
        "\ud800",
    ],
)
def test_names_that_leave_the_folder_are_refused(bundle: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "secret").write_bytes(b"x")
    content = {"path": name, "size": 1, "digest": digest.of_bytes(b"x")}
    try:
        rewrite(bundle, files=[content])
    except UnicodeEncodeError:
        return  # no JSON file can hold it
    with pytest.raises(BundleDamaged, match=r"outside|cannot be read"):
        open_bundle(bundle)


def test_a_link_is_no_file_of_a_bundle(bundle: Path, tmp_path: Path) -> None:
    content = (bundle / "model.onnx").read_bytes()
    (tmp_path / "elsewhere").write_bytes(content)
    (bundle / "model.onnx").unlink()
    (bundle / "model.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleDamaged, match="missing"):
        open_bundle(bundle)


def test_a_linked_folder_is_refused_too(bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "f").write_bytes(b"x")
    (bundle / "sub").symlink_to(tmp_path / "outside")
    rewrite(bundle, files=[{"path": "sub/f", "size": 1, "digest": digest.of_bytes(b"x")}])
    with pytest.raises(BundleDamaged, match="missing"):
        open_bundle(bundle)


def test_a_file_without_a_digest_is_not_read(bundle: Path) -> None:
    rewrite(bundle, files=[])
    with pytest.raises(BundleDamaged, match="without a digest"):
        open_bundle(bundle)


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b"\xff\xfe", b'{"name": 1}', b"{" * 5000])
def test_a_manifest_that_cannot_be_read_is_refused(bundle: Path, content: bytes) -> None:
    (bundle / MANIFEST).write_bytes(content)
    with pytest.raises(BundleDamaged, match="cannot be read"):
        open_bundle(bundle)


def test_a_manifest_of_a_later_format_asks_for_an_upgrade(bundle: Path) -> None:
    rewrite(bundle, format=99)
    with pytest.raises(BundleDamaged, match="upgrade"):
        open_bundle(bundle)


def test_a_file_in_place_of_the_folder_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BundleNotFound):
        open_bundle(tmp_path / "file")
