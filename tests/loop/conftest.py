"""Bundles that fail or err in known ways, and homes where versions of them are registered."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from onnx import TensorProto, helper

from tidemill.core.contract import Column, Contract
from tidemill.home import Home
from tidemill.models.packing import pack
from tidemill.registry.records import ModelVersion
from tidemill.storage.blobs.trees import put_tree

MOMENT = datetime(2013, 1, 31, tzinfo=UTC)
SAMPLE = pl.DataFrame({"a": np.linspace(-1.0, 1.0, 60), "b": np.linspace(2.0, 5.0, 60)})
Register = Callable[[Home, str], ModelVersion]


def graph(kind: str) -> Any:
    """A graph that says sigmoid(a), sigmoid(-a), or fails wherever b is over 100."""
    sign = -1.0 if kind == "contrary" else 1.0
    nodes = [
        helper.make_node("Gather", ["x", "first"], ["a"], axis=1),
        helper.make_node("Gather", ["x", "second"], ["b"], axis=1),
        helper.make_node("Mul", ["a", "sign"], ["signed"]),
        helper.make_node("Sigmoid", ["signed"], ["yes"]),
        helper.make_node("Sub", ["one", "yes"], ["no"]),
    ]
    last = "no"
    if kind == "failing":
        # Where b is over 100 the number of the row to take is beyond the table of one row.
        nodes += [
            helper.make_node("ReduceMax", ["b"], ["most"], keepdims=0),
            helper.make_node("Div", ["most", "hundred"], ["part"]),
            helper.make_node("Cast", ["part"], ["row"], to=TensorProto.INT64),
            helper.make_node("Gather", ["table", "row"], ["nothing"], axis=0),
            helper.make_node("Add", ["no", "nothing"], ["same"]),
        ]
        last = "same"
    nodes.append(helper.make_node("Concat", [last, "yes"], ["probabilities"], axis=1))
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2])],
        [
            helper.make_tensor("first", TensorProto.INT64, [1], [0]),
            helper.make_tensor("second", TensorProto.INT64, [1], [1]),
            helper.make_tensor("sign", TensorProto.FLOAT, [], [sign]),
            helper.make_tensor("one", TensorProto.FLOAT, [], [1.0]),
            helper.make_tensor("hundred", TensorProto.FLOAT, [], [100.0]),
            helper.make_tensor("table", TensorProto.FLOAT, [1], [0.0]),
        ],
    )
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    entry = model.metadata_props.add()
    entry.key, entry.value = "classes", "[false,true]"
    return model


@pytest.fixture(scope="session")
def graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundles `good`, `contrary` and `failing`."""
    root = tmp_path_factory.mktemp("graphs")
    contract = Contract(columns=(Column(name="a", type="float"), Column(name="b", type="float")))
    for kind in ("good", "contrary", "failing"):
        manifest = pack(
            graph(kind),
            name="m",
            task="binary",
            contract=contract,
            sample=SAMPLE,
            folder=root / kind,
            created=MOMENT,
        )
        assert manifest.twin is not None, manifest.no_twin
    return root


@pytest.fixture
def register(graphs: Path) -> Register:
    """Register a bundle as the next version of model `m`."""

    def add(home: Home, kind: str) -> ModelVersion:
        run = home.tracking.start_run(home.tracking.experiment("m").id, actor="user:test")
        return home.registry.register(
            "m",
            bundle=put_tree(home.blobs, graphs / kind).digest,
            run_id=run.id,
            dataset=None,
            task="binary",
            flavor="onnx",
            metrics={},
            actor="user:test",
        )

    return add


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """An empty home."""
    with Home.open(tmp_path / "home") as opened:
        yield opened
