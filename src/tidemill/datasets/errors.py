"""What can go wrong with datasets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.core.errors import InvalidData, NotFound, TidemillError, Usage

if TYPE_CHECKING:
    from tidemill.datasets.records import ValidationReport


class DatasetsError(TidemillError):
    """The branch of everything that goes wrong with datasets."""


class DatasetNotFound(DatasetsError, NotFound):
    """No dataset has that name."""


class DatasetVersionNotFound(DatasetsError, NotFound):
    """The dataset has no such version, or the prefix names several."""


class UnreadableData(DatasetsError, InvalidData):
    """A file cannot be read as a table."""


class NoData(DatasetsError, NotFound):
    """The source names no files."""


class BadContract(DatasetsError, Usage):
    """A contract's file cannot be read, or the contract contradicts itself or the data."""


class ContractBroken(DatasetsError, InvalidData):
    """A batch breaks its dataset's contract and was refused as a whole.

    Attributes:
        report: What was found.
    """

    def __init__(self, name: str, report: ValidationReport) -> None:
        super().__init__(
            f"{name} breaks the contract: {report.summary}.",
            expected="every rule of the contract to hold",
            hint="Nothing was stored. Mend the data, or edit the contract if the rule is wrong.",
        )
        self.report = report
