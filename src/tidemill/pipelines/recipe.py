"""What a training depends on, and nothing else."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import polars as pl

from tidemill.core.contract import Contract
from tidemill.core.policy import ModelPolicy
from tidemill.core.tasks import Task
from tidemill.models.protocol import Trust
from tidemill.models.runtime.limits import Limits
from tidemill.models.runtime.opening import Surroundings
from tidemill.pipelines.errors import BadPipeline

MOST_CLASSES = 50


class RecordedRows(msgspec.Struct, frozen=True, kw_only=True):
    """What the endpoint answered lately, kept for a training.

    Attributes:
        digest: The stored table.
        file: Where it lies.
    """

    digest: str
    file: str


class Recipe(msgspec.Struct, frozen=True, kw_only=True):
    """All that a training depends on. The same recipe gives the same model.

    Attributes:
        model: The model's name.
        policy: Its section of the policy.
        dataset: The dataset version, as a reference.
        files: Local paths of its files.
        contract: What its rows are held to.
        code: The digest of the project's code.
        until: The moment up to which rows count.
        created: Goes into the bundle's manifest.
        champion: The folder of the live version's bundle, where there is one.
        champion_ref: The live version, as a reference.
        champion_until: The moment up to which the live version may have learned.
        recorded: What the endpoint answered lately, where the policy has it replayed.
        environments: Where the environments of models without a twin are built.
    """

    model: str
    policy: ModelPolicy
    dataset: str
    files: tuple[str, ...]
    contract: Contract
    code: str
    until: datetime
    created: datetime
    champion: str | None = None
    champion_ref: str | None = None
    champion_until: datetime | None = None
    recorded: RecordedRows | None = None
    environments: str | None = None

    @property
    def surroundings(self) -> Surroundings:
        """What a model without a twin is run with while it is judged.

        The candidate was made by this very run, and the champion by an earlier one.
        """
        if self.environments is None:
            raise BadPipeline(
                f"The recipe of model {self.model!r} names no folder for environments.",
                expected="one that was made by this version",
                hint="Train the model again.",
            )
        trust: Trust = "never" if self.policy.trust == "never" else "own"
        return Surroundings(
            environments=Path(self.environments),
            limits=msgspec.structs.replace(Limits.of(self.policy.runtime), processes=1),
            trust=trust,
        )

    @property
    def refits(self) -> bool:
        """Whether a candidate that passed is trained again on all rows.

        Only where rows have a time: there the next holdout is newer than all that was learned, so
        that the live model can be judged on it fairly.
        """
        return self.policy.refit and self.contract.time is not None

    @property
    def label(self) -> str:
        """The column to predict."""
        column = self.contract.label
        if column is None:
            raise BadPipeline(
                f"The dataset of model {self.model!r} has no label.",
                expected="`label` in its section of tidemill.toml, or a column of that role",
            )
        return column.name

    @property
    def moment(self) -> pl.Expr:
        """When a row happened; a day stands for its midnight.

        Raises:
            BadPipeline: The dataset has no time column.
        """
        column = self.contract.time
        if column is None:
            raise BadPipeline(
                f"The dataset of model {self.model!r} has no time column.",
                expected="`time` in its section of tidemill.toml, or a column of that role",
            )
        return pl.col(column.name).cast(pl.Datetime("us", "UTC"))


def task_of(policy: ModelPolicy, labels: pl.Series) -> Task:
    """Return what a model does, by the policy or else by its label.

    Example:
        >>> task_of(ModelPolicy(train="p:f", dataset="d"), pl.Series([True, False]))
        'binary'
        >>> task_of(ModelPolicy(train="p:f", dataset="d"), pl.Series([1.5, 2.5, 3.5]))
        'regression'
    """
    if policy.task is not None:
        return policy.task
    if labels.dtype.is_float():
        return "regression"
    classes = labels.n_unique()
    if classes <= 2:
        return "binary"
    many = labels.dtype.is_integer() and classes > MOST_CLASSES
    return "regression" if many else "multiclass"
