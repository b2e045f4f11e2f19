"""Dataset versions, and what validation says of a batch."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from tidemill.core.contract import Contract
from tidemill.core.references import Ref


class DataFile(msgspec.Struct, frozen=True, kw_only=True):
    """One immutable file of a dataset, always Parquet.

    Attributes:
        digest: The blob that holds it.
        size: In bytes.
        rows: How many rows it has.
        since: The earliest moment in its time column, where there is one.
        until: The latest.
        name: What it was called where it came from.
    """

    digest: str
    size: int
    rows: int
    name: str
    since: datetime | None = None
    until: datetime | None = None


class DatasetVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A dataset as it was at one moment: a list of immutable files.

    Attributes:
        dataset: The dataset's name.
        version: The digest that names it: of its parent and of what was added and removed.
        number: Counts from 1.
        parent: The version before it.
        files: How many files it has.
        rows: How many rows it has.
        added: The files that it added to its parent.
        removed: The digests of the files that it took away.
        contract: What its rows were held to.
        created: When it was made.
        actor: Who made it.
        message: Why, in the maker's words.
    """

    dataset: str
    version: str
    number: int
    parent: str | None
    files: int
    rows: int
    added: tuple[DataFile, ...]
    removed: tuple[str, ...]
    contract: Contract | None
    created: datetime
    actor: str
    message: str = ""

    @property
    def ref(self) -> Ref:
        """`dataset:NAME@DIGEST`, the digest shortened to 12 digits."""
        return Ref("dataset", self.dataset, self.version[:12])


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """One rule of the contract that does not hold.

    Attributes:
        column: Which column; empty for a rule about the batch.
        rule: Which rule: `type`, `missing-column`, `nulls`, `range`, `values`, `unique`, …
        count: In how many rows.
        share: In which share of the rows.
        message: One sentence, with a value.
        examples: Up to five offending values, with their row numbers.
    """

    column: str
    rule: str
    count: int
    share: float
    message: str
    examples: tuple[tuple[int, Any], ...] = ()


class ValidationReport(msgspec.Struct, frozen=True, kw_only=True):
    """What validation found.

    Attributes:
        rows: How many rows were looked at.
        columns: How many columns of the contract.
        violations: What does not hold; empty when everything does.
    """

    rows: int
    columns: int
    violations: tuple[Violation, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything holds."""
        return not self.violations

    @property
    def summary(self) -> str:
        """The first violation, and how many others there are."""
        if not self.violations:
            return "everything holds"
        more = len(self.violations) - 1
        first = self.violations[0].message.rstrip(".")
        return first + (f", and {more} more" if more else "")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was not taken in.

    Attributes:
        name: The file.
        reason: Why, in one sentence.
        report: What validation found, where it came so far.
        fact: The id of the journal's fact.
    """

    name: str
    reason: str
    report: ValidationReport | None
    fact: str


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """What a look at a source brought.

    Attributes:
        version: The new version, or nothing when no file was taken in.
        refused: The files that were refused now; a file is refused once until it changes.
    """

    version: DatasetVersion | None
    refused: tuple[Refusal, ...] = ()


class ColumnChange(msgspec.Struct, frozen=True, kw_only=True):
    """How one column differs between two versions.

    Attributes:
        column: Its name.
        change: `added`, `removed`, `type` or `statistics`.
        before: What it was: a type, or its mean and share of missing values.
        after: What it is.
    """

    column: str
    change: str
    before: str
    after: str


class DatasetDiff(msgspec.Struct, frozen=True, kw_only=True):
    """How two versions differ.

    Attributes:
        before: The first, as a reference.
        after: The second.
        files_added: How many.
        files_removed: How many.
        rows_before: How many.
        rows_after: How many.
        columns: How the columns differ.
    """

    before: str
    after: str
    files_added: int
    files_removed: int
    rows_before: int
    rows_after: int
    columns: tuple[ColumnChange, ...]


class ColumnProfile(msgspec.Struct, frozen=True, kw_only=True):
    """The statistics of one column.

    Attributes:
        name: Its name.
        type: As Polars calls it.
        missing: The share of missing values.
        distinct: About how many different values.
        mean: Numbers only.
        std: Numbers only.
        quantiles: Numbers only: minimum, 5%, 25%, 50%, 75%, 95%, maximum.
        top: The most frequent values and their shares; other than numbers only.
    """

    name: str
    type: str
    missing: float
    distinct: int
    mean: float | None = None
    std: float | None = None
    quantiles: tuple[float, ...] = ()
    top: tuple[tuple[str, float], ...] = ()
