"""The contract of a flavor: subclass it in your tests and hand it examples of your models.

```python
class TestMyFlavor(FlavorContract):
    @pytest.fixture(params=["classifier", "regressor"])
    def example(self, request) -> FlavorExample:
        return FlavorExample(flavor="mine", model=..., task=..., rows=...)
```
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidemill.core.clock import SystemClock
from tidemill.core.contract import Column, ColumnType, Contract
from tidemill.core.tasks import Task
from tidemill.models.bundle import open_bundle
from tidemill.models.errors import BundleDamaged, NotTrusted
from tidemill.models.frames import columns_of
from tidemill.models.loading import load_original
from tidemill.models.packing import FLAVORS, flavor_of, pack
from tidemill.models.protocol import Flavor
from tidemill.models.records import Manifest
from tidemill.models.runtime.opening import Surroundings, answering

WHEN = datetime(2013, 2, 1, tzinfo=UTC)
_TYPES: dict[type[pl.DataType], ColumnType] = {
    pl.String: "string",
    pl.Boolean: "bool",
    pl.Int64: "int",
    pl.Datetime: "datetime",
}


@dataclass(frozen=True)
class FlavorExample:
    """A fitted model of a flavor.

    Attributes:
        flavor: The plugin's name.
        model: The fitted model, as a training function would return it.
        task: What it does.
        rows: Rows of its features that it was not fitted on; twenty or more.
        twin: Whether a verified twin is to be expected.
    """

    flavor: str
    model: Any
    task: Task
    rows: pl.DataFrame
    twin: bool = True


class FlavorContract:
    """What every flavor guarantees. Needs a fixture `example`."""

    @pytest.fixture
    def example(self) -> FlavorExample:
        raise NotImplementedError("give a fixture `example` that returns a FlavorExample")

    @pytest.fixture
    def flavor(self, example: FlavorExample) -> Flavor:
        found: Flavor = FLAVORS.load(example.flavor)
        return found

    @pytest.fixture
    def packed(self, example: FlavorExample, tmp_path: Path) -> tuple[Path, Manifest]:
        folder = tmp_path / "bundle"
        manifest = pack(
            example.model,
            name="example",
            task=example.task,
            contract=contract_of(example.rows),
            sample=example.rows,
            folder=folder,
            created=WHEN,
        )
        return folder, manifest

    @pytest.fixture
    def environments(self, tmp_path_factory: pytest.TempPathFactory) -> Path:
        """Where the environments of models without a twin are built, each once."""
        return tmp_path_factory.getbasetemp() / "environments"

    def test_it_is_named_as_its_file(self, example: FlavorExample, flavor: Flavor) -> None:
        assert flavor.name == example.flavor

    def test_it_knows_its_own_models(self, example: FlavorExample) -> None:
        assert flavor_of(example.model).name == example.flavor

    @pytest.mark.parametrize("thing", [None, 42, "text", b"bytes", {}, [], pl.DataFrame(), int])
    def test_it_knows_nothing_else(self, flavor: Flavor, thing: object) -> None:
        assert not flavor.matches(thing)

    def test_classes_are_plain_values(self, example: FlavorExample, flavor: Flavor) -> None:
        if example.task != "regression":
            classes = flavor.classes(example.model)
            assert len(classes) >= 2
            assert all(type(c) in {bool, int, str} for c in classes)

    def test_answers_have_the_agreed_shape(
        self, example: FlavorExample, flavor: Flavor, packed: tuple[Path, Manifest]
    ) -> None:
        signature = packed[1].signature
        answers = flavor.predict(example.model, example.rows, signature)
        assert answers.dtype == np.float64
        if example.task == "regression":
            assert answers.shape == (len(example.rows),)
        else:
            assert answers.shape == (len(example.rows), len(signature.classes))
            assert np.allclose(answers.sum(axis=1), 1.0, atol=1e-5)

    def test_the_original_comes_back(
        self, example: FlavorExample, flavor: Flavor, packed: tuple[Path, Manifest]
    ) -> None:
        folder, manifest = packed
        _, _, again = load_original(folder, trust="own")
        expected = flavor.predict(example.model, example.rows, manifest.signature)
        found = flavor.predict(again, example.rows, manifest.signature)
        assert np.array_equal(found, expected)

    def test_without_trust_no_code_is_run(self, packed: tuple[Path, Manifest]) -> None:
        folder, manifest = packed
        if manifest.saved_as == "pickle":
            with pytest.raises(NotTrusted):
                load_original(folder, trust="never")
        else:
            load_original(folder, trust="never")

    def test_the_twin_is_verified_or_the_bundle_says_why_not(
        self, example: FlavorExample, packed: tuple[Path, Manifest]
    ) -> None:
        manifest = packed[1]
        assert (manifest.twin is not None) == example.twin, manifest.no_twin
        assert (manifest.twin is None) == (manifest.no_twin is not None)
        if manifest.twin is not None:
            assert manifest.twin.parity.verified
            assert manifest.twin.parity.rows == len(example.rows)

    def test_the_bundle_answers_as_the_original(
        self,
        example: FlavorExample,
        flavor: Flavor,
        packed: tuple[Path, Manifest],
        environments: Path,
    ) -> None:
        """By its twin, or else in a process and an environment of its own."""
        folder, manifest = packed
        with answering(
            folder, Surroundings(environments=environments), clock=SystemClock()
        ) as opened:
            answer = opened.predict(columns_of(example.rows, manifest.signature))
        expected = flavor.predict(example.model, example.rows, manifest.signature)
        if example.task == "binary":
            expected = expected[:, manifest.signature.positive_index]
        found = answer.values if example.task == "regression" else answer.scores
        scale = np.std(expected) if example.task == "regression" else 1.0
        assert np.allclose(np.asarray(found, dtype=np.float64), expected, atol=1e-5 * scale)

    def test_a_changed_file_is_refused(self, packed: tuple[Path, Manifest]) -> None:
        folder, manifest = packed
        for entry in manifest.files:
            path = folder / entry.path
            before = path.read_bytes()
            path.write_bytes(bytes([before[0] ^ 1]) + before[1:])
            with pytest.raises(BundleDamaged):
                open_bundle(folder)
            path.write_bytes(before)
        open_bundle(folder)

    def test_it_can_be_found_without_its_framework(self, example: FlavorExample) -> None:
        """Asking whether a model is the flavor's own must not import the framework."""
        code = (
            "import sys\n"
            "from tidemill.models.packing import FLAVORS\n"
            "before = set(sys.modules)\n"
            f"flavor = FLAVORS.load({example.flavor!r})\n"
            "assert not flavor.matches(object())\n"
            "heavy = {'sklearn', 'onnx', 'skl2onnx', 'xgboost', 'lightgbm', 'catboost', 'torch'}\n"
            "assert not heavy & (set(sys.modules) - before), heavy & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


def contract_of(rows: pl.DataFrame) -> Contract:
    """Return the plainest contract of a frame of features."""
    return Contract(
        columns=tuple(
            Column(name=name, type=_TYPES.get(type(dtype), "float"))
            for name, dtype in rows.schema.items()
        )
    )
