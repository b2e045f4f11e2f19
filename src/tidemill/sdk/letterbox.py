"""The prediction log from a program: read it as a table, and tell what came true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.core.clock import SystemClock
from tidemill.core.contract import ColumnType
from tidemill.core.errors import Usage, nearest
from tidemill.core.ids import Ids
from tidemill.predictions.deliveries import Delivery, deliver, fitting, label_rows, labels_of_text
from tidemill.predictions.description import read_descriptions
from tidemill.predictions.segments import endpoints
from tidemill.sdk.session import find_home

if TYPE_CHECKING:
    import polars as pl

Moment = str | date | datetime


class BadMoment(Usage):
    """A moment cannot be read."""


class WhichEndpoint(Usage):
    """The log has several endpoints, or none, and none was named."""


class BadFile(Usage):
    """A file is of no kind that is read or written."""


def read_predictions(
    endpoint: str | None = None,
    *,
    since: Moment | None = None,
    until: Moment | None = None,
    labels: bool = False,
    home: str | Path | None = None,
) -> pl.LazyFrame:
    """Return the predictions of an endpoint, compacted or not, as a lazy table of Polars.

    Args:
        endpoint: Whose; the only one's where there is one.
        since: From when on, by the predictions' time: a day, a moment, or text of either, in UTC.
        until: Until when, exclusive.
        labels: Whether labels are joined: the last one told counts (`label`, with `label_time`,
            `label_arrival` and `label_count`).
        home: The home; found as the command line finds it where left out.

    Raises:
        NoHome: There is none.
        WhichEndpoint: There are several endpoints, or none.
        EndpointNotLogged: The log has nothing of that endpoint.
        BadMoment: `since` or `until` is none.
    """
    from tidemill.predictions.reading import scan

    root = log_folder(home)
    return scan(
        root,
        which_endpoint(root, endpoint),
        since=moment("since", since),
        until=moment("until", until),
        labels=labels,
    )


def log_labels(
    labels: Any, endpoint: str | None = None, *, home: str | Path | None = None
) -> Delivery:
    """Tell what came true; it is on disk when this returns.

    A label told again changes nothing, one told differently corrects the one before. It may come
    before its prediction.

    Args:
        labels: A table of Polars or pandas, columns, a list of rows, or a CSV or Parquet file.
            Its columns are `label`, with `prediction_id` or `key`, and `time` where known.
        endpoint: Whose predictions; the only one's where there is one.
        home: The home; found as the command line finds it where left out.

    Raises:
        NoHome: There is none.
        WhichEndpoint: There are several endpoints, or none.
        EndpointNotLogged: The log has nothing of that endpoint.
        BadLabels: A label cannot be taken; none of the others was.
        BadFile: The file is of no kind that is read.
    """
    root = log_folder(home)
    name = which_endpoint(root, endpoint)
    kinds = {d.prediction for d in read_descriptions(root, name)}
    known = kinds.pop() if len(kinds) == 1 else None
    rows = fitting(label_rows(_columns(labels, known)), known)
    clock = SystemClock()
    return deliver(root, name, rows, ids=Ids(clock), clock=clock)


def log_folder(home: str | Path | None) -> Path:
    """Return the folder of a home's prediction log.

    Raises:
        NoHome: There is none.
    """
    return find_home(None if home is None else Path(home)) / "predictions"


def which_endpoint(root: Path, endpoint: str | None) -> str:
    """Return the endpoint that was named, or the only one.

    Raises:
        WhichEndpoint: There are several, or none.
    """
    known = endpoints(root)
    if endpoint is not None:
        return endpoint
    if len(known) != 1:
        raise WhichEndpoint(
            f"The prediction log has {len(known)} endpoints, and none was named.",
            expected=nearest("", known) if known else "one that has answered",
            hint="Name it.",
        )
    return known[0]


def moment(name: str, value: Moment | None) -> datetime | None:
    """Return a moment in UTC, from a day, a moment, or text of either.

    Raises:
        BadMoment: It is none.

    Example:
        >>> moment("since", "2013-02-01").isoformat()
        '2013-02-01T00:00:00+00:00'
    """
    if value is None:
        return None
    found: Any = value
    if isinstance(value, str):
        try:
            found = datetime.fromisoformat(value)
        except ValueError as error:
            raise BadMoment(
                f"`{name}` is {value!r}.", expected="a day or a moment, as 2013-02-01T06:30Z"
            ) from error
    elif not isinstance(value, datetime):
        found = datetime(value.year, value.month, value.day)  # noqa: DTZ001
    return found if found.tzinfo else found.replace(tzinfo=UTC)  # type: ignore[no-any-return]


def _columns(labels: Any, known: ColumnType | None) -> Mapping[str, Sequence[Any]]:
    if isinstance(labels, str | Path):
        return _of_file(Path(labels), known)
    if isinstance(labels, Mapping):
        return {name: list(values) for name, values in labels.items()}
    if isinstance(labels, Sequence):
        names = dict.fromkeys(name for row in labels for name in row)
        return {name: [row.get(name) for row in labels] for name in names}
    import polars as pl

    frame = labels if isinstance(labels, pl.DataFrame) else pl.from_pandas(labels)
    return frame.to_dict(as_series=False)


def _of_file(path: Path, known: ColumnType | None) -> Mapping[str, Sequence[Any]]:
    import polars as pl

    ending = path.suffix.lower()
    if ending not in (".csv", ".parquet"):
        raise BadFile(f"{path} ends in {ending!r}.", expected=".csv or .parquet")
    try:
        if ending == ".parquet":
            return pl.read_parquet(path).to_dict(as_series=False)
        frame = pl.read_csv(path, infer_schema=False)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadFile(
            f"{path} cannot be read: {error}.", expected="a file of labels in CSV or Parquet"
        ) from error
    columns = frame.to_dict(as_series=False)
    if "label" in columns:
        columns["label"] = labels_of_text(columns["label"], known)
    return columns
