"""Decision trees as one ONNX `TreeEnsemble`, in double precision from the input to the answer.

A split decides the same way on both sides, where single precision would send rows that lie next
to a threshold into the other branch. Needs version 5 of ONNX's machine-learning operators.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from tidemill.models.converters.graph import ML, GraphBuilder, Table, double_tensor, table

AT_MOST, LESS, MEMBER = 0, 1, 6
"""ONNX's numbers for `x <= t`, `x < t` and `x in set`."""


class Tree(NamedTuple):
    """One tree as arrays over its nodes; the root is node 0.

    Attributes:
        leaf: Whether the node is a leaf.
        feature: Which column a split looks at.
        threshold: What it compares with.
        yes: The node for rows that fulfil the comparison.
        no: The node for the others.
        missing_yes: Whether a missing value counts as fulfilling it.
        values: What a leaf adds, shape (nodes, targets).
        members: For splits that ask for membership: the set, by node.
        mode: `AT_MOST` or `LESS`, for all splits that have no set.
    """

    leaf: NDArray[np.bool_]
    feature: NDArray[np.int64]
    threshold: NDArray[np.float64]
    yes: NDArray[np.int64]
    no: NDArray[np.int64]
    missing_yes: NDArray[np.bool_]
    values: NDArray[np.float64]
    members: Mapping[int, NDArray[np.float64]] = MappingProxyType({})
    mode: int = AT_MOST


def ensemble(graph: GraphBuilder, trees: Iterable[Tree], matrix: str, targets: int) -> Table:
    """Add the sum of all trees' answers, one column a target."""
    columns = _Columns()
    for tree in trees:
        columns.add(tree)
    graph.ml_opset = 5
    output = graph.node(
        "TreeEnsemble",
        matrix,
        domain=ML,
        n_targets=targets,
        aggregate_function=1,
        post_transform=0,
        nodes_featureids=columns.feature,
        nodes_splits=double_tensor(columns.threshold, "splits"),
        nodes_modes=numpy_helper.from_array(np.array(columns.mode, dtype=np.uint8), "modes"),
        nodes_truenodeids=columns.yes,
        nodes_trueleafs=columns.yes_leaf,
        nodes_falsenodeids=columns.no,
        nodes_falseleafs=columns.no_leaf,
        nodes_missing_value_tracks_true=columns.missing,
        leaf_targetids=columns.target,
        leaf_weights=double_tensor(columns.weight, "weights"),
        tree_roots=columns.roots,
        **columns.membership(),
    )
    return table(output, targets)


class _Columns:
    """The operator's attributes: splits of all trees in one list, leaves in another."""

    def __init__(self) -> None:
        self.feature: list[int] = []
        self.threshold: list[float] = []
        self.mode: list[int] = []
        self.yes: list[int] = []
        self.yes_leaf: list[int] = []
        self.no: list[int] = []
        self.no_leaf: list[int] = []
        self.missing: list[int] = []
        self.target: list[int] = []
        self.weight: list[float] = []
        self.roots: list[int] = []
        self._members: list[float] = []

    def add(self, tree: Tree) -> None:
        """Add a tree once for every target to which one of its leaves adds something."""
        used = np.flatnonzero(np.any(tree.values[tree.leaf] != 0.0, axis=0))
        for target in used.tolist() or [0]:
            self._add(tree, target)

    def membership(self) -> dict[str, object]:
        """Return the sets of all membership splits, one after the other."""
        if not self._members:
            return {}
        return {"membership_values": double_tensor(self._members, "members")}

    def _add(self, tree: Tree, target: int) -> None:
        self.roots.append(len(self.feature))
        leaves = np.flatnonzero(tree.leaf)
        if tree.leaf[0]:
            self._add_lone_leaf(float(tree.values[0, target]), target)
            return
        splits = np.flatnonzero(~tree.leaf)
        place = np.zeros(len(tree.leaf), dtype=np.int64)
        place[splits] = np.arange(len(splits)) + len(self.feature)
        place[leaves] = np.arange(len(leaves)) + len(self.weight)
        yes, no = tree.yes[splits], tree.no[splits]
        self.feature += tree.feature[splits].tolist()
        self.threshold += tree.threshold[splits].tolist()
        self.mode += [MEMBER if i in tree.members else tree.mode for i in splits.tolist()]
        self.yes += place[yes].tolist()
        self.yes_leaf += tree.leaf[yes].astype(int).tolist()
        self.no += place[no].tolist()
        self.no_leaf += tree.leaf[no].astype(int).tolist()
        self.missing += tree.missing_yes[splits].astype(int).tolist()
        self.target += [target] * len(leaves)
        self.weight += tree.values[leaves, target].tolist()
        for split in splits.tolist():
            if split in tree.members:
                self._members += [*tree.members[split].tolist(), np.nan]

    def _add_lone_leaf(self, value: float, target: int) -> None:
        """A tree needs a split: this one leads to the same leaf either way."""
        self.feature.append(0)
        self.threshold.append(0.0)
        self.mode.append(AT_MOST)
        for branch, leaf in ((self.yes, self.yes_leaf), (self.no, self.no_leaf)):
            branch.append(len(self.weight))
            leaf.append(1)
        self.missing.append(0)
        self.target.append(target)
        self.weight.append(value)
