"""What the monitor says: of a column, of a window, and of what is wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

import msgspec

from tidemill.core.findings import FindingKind, Severity


class ColumnDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far one column moved.

    Attributes:
        column: Its name.
        p_value: The chance of such a distance where nothing moved, one column alone.
        effect: The largest difference of the distribution functions (numbers), or the total
            variation distance (categories): 0 to 1.
        drifted: Whether it counts, after correction for the number of columns and with the least
            effect that matters.
        reference: What was usual, in words: the median, or the most frequent value.
        current: What it is in the window.
        missing_reference: The usual share of missing values.
        missing: The share in the window.
        blocks: Over how many blocks it was the most telling: the window's, or longer ones that end
            with it.
    """

    column: str
    p_value: float
    effect: float
    drifted: bool
    reference: str
    current: str
    missing_reference: float
    missing: float
    blocks: int = 0


class JointDrift(msgspec.Struct, frozen=True, kw_only=True):
    """How far columns moved together.

    Attributes:
        method: `reconstruction` by principal components, or a `classifier` that tells rows apart.
        columns: Which columns.
        p_value: The chance of such a figure where nothing moved.
        effect: The relative change of the reconstruction's error, or by how much better than by
            chance rows are told apart, 0 to 1.
        usual: The figure where nothing moved: a mean error, or an area under the ROC curve.
        current: What it is in the window.
        drifted: Whether it counts, after correction for the number of tests and with the least
            effect that matters.
    """

    method: Literal["reconstruction", "classifier"]
    columns: tuple[str, ...]
    p_value: float
    effect: float
    usual: float
    current: float
    drifted: bool = False


class SegmentQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Quality on the rows that share a value, or the values of two columns.

    Attributes:
        column: Which column; `origin & carrier` for two.
        value: The value; `EWR & UA` for two.
        rows: How many of them are labelled.
        metrics: What is defined for them.
        intervals: For each, the ends of its 95% interval, where there are enough blocks.
        predictions: How many predictions there were, labelled or not.
        coverage: The share of them that is labelled.
        reference: The version's metrics on the held-out rows that share the value.
    """

    column: str
    value: str
    rows: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = {}
    predictions: int = 0
    coverage: float = 0.0
    reference: dict[str, float] = {}


class VersionQuality(msgspec.Struct, frozen=True, kw_only=True):
    """How one version fared in one part that it played.

    Attributes:
        version: Which.
        role: `champion`, `canary`, `shadow` or `standby`.
        predictions: How many.
        errors: How many of them failed.
        labelled: How many are labelled.
        coverage: The share of the answers that is labelled.
        metrics: What is defined for them.
        intervals: For each, the ends of its 95% interval, where there are enough blocks.
        latency_p50_us: The median time to answer.
        latency_p99_us: The 99th percentile.
    """

    version: int
    role: str
    predictions: int
    errors: int
    labelled: int
    coverage: float
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    latency_p50_us: float
    latency_p99_us: float


class ClassQuality(msgspec.Struct, frozen=True, kw_only=True):
    """Quality on one class against the rest.

    Attributes:
        label: Which class.
        labelled: How many labelled rows are of it.
        metrics: What is defined for it.
        intervals: For each, the ends of its 95% interval, where there are enough blocks.
    """

    label: str
    labelled: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """A column's part in a change of quality.

    Attributes:
        column: Its name.
        shift: The change of the metric that its own shift explains.
        share: That as a share of the whole change.
    """

    column: str
    shift: float
    share: float


class Explanation(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of quality is made of.

    Attributes:
        metric: Whose change.
        usual: The metric over the held-out rows.
        realised: The metric over the window's.
        causes: The columns' parts, the largest share first.
        inputs: The share that the shifts of all columns together explain.
        relation: The share that no shift explains: the relation of features and label changed.
        effective: How many of the held-out rows are like those of the window.
        unseen: By column, the share of the window's rows with values that no held-out row has.
        note: Why nothing can be judged, where it cannot.
    """

    metric: str
    usual: float
    realised: float
    causes: tuple[Cause, ...]
    inputs: float
    relation: float
    effective: float
    unseen: dict[str, float] = {}
    note: str = ""


class Attribution(msgspec.Struct, frozen=True, kw_only=True):
    """How much the model's answers hang on a column.

    Attributes:
        column: Its name.
        usual: Its share of all columns' influence on held-out rows.
        current: Its share on the window's rows.
    """

    column: str
    usual: float
    current: float


class WindowReport(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one stretch of predictions.

    Attributes:
        endpoint: Which endpoint.
        model: Which model.
        version: The version that was live at its end.
        since: Where it begins.
        until: Where it ends, exclusive.
        predictions: How many.
        errors: How many requests failed.
        latency_p50_us: The median time to answer.
        latency_p99_us: The 99th percentile.
        labelled: How many labels came so far.
        coverage: The share of predictions that are labelled.
        realised: Metrics over the labelled rows; empty where coverage is too small.
        intervals: For each, the ends of its 95% interval.
        estimated: Metrics expected without labels, where they can be.
        bands: For each, the ends of its sampling band: three standard errors each way.
        reference: The version's metrics on the rows that it was judged by.
        columns: How far each column moved; empty where that cannot be judged.
        joint: How far columns moved together.
        segments: Quality by segment.
        versions: Quality by version and role, shadows included.
        classes: Quality by class, for classifiers.
        averages: Further figures: micro and weighted means over classes, bias and pinball loss.
        average_intervals: For each, the ends of its 95% interval.
        notes: What could not be judged, and why.
        newest_label: When the newest label that it counts arrived.
        found: The kinds of findings that it gave.
        represented: How many predictions the logged ones stand for; more where the log is a sample.
        explanation: What a change of quality is made of, where it fell.
        attributions: How much the answers hang on each column, where that was asked.
        out_of_contract: By column, how many values break the contract.
    """

    endpoint: str
    model: str
    version: int
    since: datetime
    until: datetime
    predictions: int
    errors: int
    latency_p50_us: float
    latency_p99_us: float
    labelled: int
    coverage: float
    realised: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    estimated: dict[str, float]
    bands: dict[str, tuple[float, float]] = {}
    reference: dict[str, float]
    columns: tuple[ColumnDrift, ...]
    joint: tuple[JointDrift, ...] = ()
    segments: tuple[SegmentQuality, ...]
    versions: tuple[VersionQuality, ...] = ()
    classes: tuple[ClassQuality, ...] = ()
    averages: dict[str, float] = {}
    average_intervals: dict[str, tuple[float, float]] = {}
    notes: tuple[str, ...] = ()
    newest_label: datetime | None = None
    found: tuple[FindingKind, ...] = ()
    represented: float = 0.0
    explanation: Explanation | None = None
    attributions: tuple[Attribution, ...] = ()
    out_of_contract: dict[str, int] = {}


class EstimateCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One metric of one window, estimated and realised.

    Attributes:
        since: Where the window begins.
        version: The live version.
        metric: Which metric.
        estimated: What was expected without labels.
        realised: What the labels told.
        within: Whether the sampling band of the estimate holds the realised figure.
    """

    since: datetime
    version: int
    metric: str
    estimated: float
    realised: float
    within: bool


class EstimatorError(msgspec.Struct, frozen=True, kw_only=True):
    """The error of the estimates of one metric.

    Attributes:
        metric: Which metric.
        windows: How many windows have both figures.
        mean_absolute: The mean distance of estimate and truth.
        bias: The mean of estimate less truth.
        within: The share of windows whose band holds the truth.
    """

    metric: str
    windows: int
    mean_absolute: float
    bias: float
    within: float


class EstimateHistory(msgspec.Struct, frozen=True, kw_only=True):
    """All windows that have both figures.

    Attributes:
        checks: One for each window and metric, newest first.
        errors: One for each metric.
    """

    checks: tuple[EstimateCheck, ...]
    errors: tuple[EstimatorError, ...]


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """Something that a person, or the loop, should know.

    Attributes:
        kind: What kind of thing it is.
        severity: How much it matters.
        endpoint: Where.
        model: Of which model.
        version: Of which version.
        since: The window's beginning.
        until: Its end.
        message: One sentence or two for people.
        numbers: The figures behind it.
        columns: The columns that it concerns, the most telling first.
        causes: What explains it, the largest part first.
        about: Which of several, where an endpoint can have more than one of a kind at once: a
            disk, a worker. It tells one alert from another; columns and figures do not.
    """

    kind: FindingKind
    severity: Severity
    endpoint: str
    model: str
    version: int
    since: datetime
    until: datetime
    message: str
    numbers: dict[str, float] = {}
    columns: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    about: str = ""
