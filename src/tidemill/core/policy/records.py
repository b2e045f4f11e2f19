"""The records that `tidemill.toml` is read into. A field here is a key there.

Durations are seconds here and `"7d"`, `"90m"` or a number of seconds in the file. The bounds of a
value stand beside its type: the reader checks them, and the published JSON Schema carries them.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import replace

from tidemill.core.policy.redaction import read_redaction
from tidemill.core.tasks import Task

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
"""What a duration is counted in, in seconds."""

DURATION = "duration"
"""The title by which the reader knows that text such as `"7d"` may stand for a number."""

SIZE = "size"
"""The title by which the reader knows that text such as `"10GB"` may stand for a number."""

SIZES = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
"""What a size is counted in, in bytes."""

Size = Annotated[int, Meta(gt=0, title=SIZE)]
Seconds = Annotated[float, Meta(ge=0, title=DURATION)]
Span = Annotated[float, Meta(gt=0, title=DURATION)]
Share = Annotated[float, Meta(ge=0, le=1)]
Probability = Annotated[float, Meta(gt=0, lt=1)]
Confidence = Annotated[float, Meta(ge=0.5, lt=1)]
Percent = Annotated[float, Meta(gt=0, le=100)]
Count = Annotated[int, Meta(ge=0)]


class DatasetPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[datasets.NAME]`: where rows come from and what their columns are to a model.

    Attributes:
        source: A path or glob, relative to `tidemill.toml`.
        label: The column to predict.
        time: The column that says when a row happened.
        key: The column that names a row.
        ignore: Columns that never reach the model.
        contract: Where the editable contract is kept, relative to `tidemill.toml`.
    """

    source: str
    label: str | None = None
    time: str | None = None
    key: str | None = None
    ignore: tuple[str, ...] = ()
    contract: str | None = None


class GateRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models.NAME.gate]`, one metric: what a candidate must reach on held-out rows.

    Attributes:
        min: The smallest value accepted.
        max: The largest value accepted.
        beats_champion: Whether the candidate must not be worse than the live model.
        confidence: How sure the paired test must be, 0.5 to 1.
        tolerance: By how much it may be worse and still pass; the margin of non-inferiority.
        max_ratio: For what is measured in a sandbox: by which factor it may be larger than the
            live model's, measured in the same run.
    """

    min: float | None = None
    max: float | None = None
    beats_champion: bool = False
    confidence: Confidence = 0.95
    tolerance: Annotated[float, Meta(ge=0)] = 0.0
    max_ratio: Annotated[float, Meta(gt=0)] | None = None


class BacktestPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models.NAME.backtest]`: how much a candidate may differ from what was answered.

    Attributes:
        stretch: How much of the newest recorded requests is replayed, in seconds.
        min_rows: With fewer recorded rows there is nothing to judge, and the gate lets it pass.
        max_changed: The share of answers that may change.
        max_segment_changed: The same within each segment.
        max_mean_difference: By how much scores or values may differ on average, either way.
        max_refused: The share of rows that it may refuse where they were answered.
        tolerance: By how much its mean loss may be larger where labels are known; only what is
            shown to be larger counts.
        segments: Columns, or pairs such as `origin & carrier`, by whose values differences are
            told; those of the monitor where it is left out.
    """

    stretch: Span = 86400.0
    min_rows: Count = 100
    max_changed: Share | None = None
    max_segment_changed: Share | None = None
    max_mean_difference: Annotated[float, Meta(ge=0)] | None = None
    max_refused: Share = 0.0
    tolerance: Annotated[float, Meta(ge=0)] | None = None
    segments: tuple[str, ...] = ()


class RolloutPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models.NAME.rollout]`: how a candidate that passed its gate gets the traffic.

    Attributes:
        strategy: `canary` in steps, `all-at-once`, or `manual` (waits for `tidemill promote`).
        steps: The share of traffic at each step, in percent; the last is 100.
        step_duration: How long each step is watched at least, in seconds.
        min_requests: How many predictions a step needs before it is judged.
        max_error_rate: The share of failed requests above which a candidate that also fails
            oftener than the champion is rolled back at once.
        max_latency_ms: What 99 of 100 requests must stay below; a candidate that is shown to be
            over it, and slower than the champion, is rolled back at once.
        max_latency_ratio: By which factor the candidate's 99th percentile of latency may be above
            the champion's; under 5 ms more never count.
        max_shift: By how much the distribution of answers may differ from the champion's, as the
            largest difference of shares (Kolmogorov-Smirnov); not looked at where it is left out.
        on_shift: What happens once it is shown to differ by more.
        metric: The realised metric whose loss is compared with the champion's: one that is a mean
            over rows; log loss or squared error where it is left out.
        confidence: How sure the sequential test must be before it rolls back or promotes.
        tolerance: By how much the candidate's mean loss may be worse at the most, shown with that
            confidence, before it gets all of the traffic; where it is left out, a candidate that
            is not shown to be worse passes.
        deadline: After this long a step that could not be judged follows `on_deadline`.
        on_deadline: What happens when labels never come.
    """

    strategy: Literal["canary", "all-at-once", "manual"] = "canary"
    steps: tuple[Percent, ...] = (5.0, 25.0, 100.0)
    step_duration: Seconds = 3600.0
    min_requests: Count = 100
    max_error_rate: Share = 0.02
    max_latency_ms: Annotated[float, Meta(gt=0)] | None = None
    max_latency_ratio: Annotated[float, Meta(ge=1)] | None = 2.0
    max_shift: Share | None = None
    on_shift: Literal["report", "hold", "rollback"] = "report"
    metric: str | None = None
    confidence: Confidence = 0.95
    tolerance: Annotated[float, Meta(ge=0)] | None = None
    deadline: Span = 7 * 86400.0
    on_deadline: Literal["promote", "rollback", "wait"] = "promote"


class RetrainPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models.NAME.retrain]`: what starts the pipeline.

    Attributes:
        on: `new-data`, `drift`, `performance`, or `schedule: CRON` (UTC).
        cooldown: How long after a run started no other is started automatically, in seconds.
        min_new_rows: How many rows must have come since the last training.
        min_growth: For `new-data`: by which share of what the last training had the data must have
            grown, 0.3 for 30%.
    """

    on: tuple[str, ...] = ("drift", "performance")
    cooldown: Seconds = 7 * 86400.0
    min_new_rows: Count = 0
    min_growth: Annotated[float, Meta(ge=0)] = 0.0


class MonitorPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models.NAME.monitor]`: how predictions are watched.

    Attributes:
        window: The stretch of predictions judged together, in seconds.
        block: The stretch that is one observation in calibration; windows are whole blocks.
        segments: Columns by whose values quality is reported apart; `origin & carrier` for pairs.
        min_label_coverage: The share of labelled predictions below which quality is not judged.
        drift_q: The false-discovery rate across columns.
        min_effect: The least effect (KS or total variation distance) that counts as drift.
        performance_drop: The least fall of the watched metric below its reference that counts.
        label_delay: How long after a prediction its label is expected at the latest, in seconds.
        multivariate: Whether a classifier is asked, too, to tell each window from the reference.
        max_out_of_contract: The share of rows whose value in a column may break the contract.
        silence: The chance of a false alarm by which silence of an hour is told from a lull; 0 for
            an endpoint that may fall silent.
        ignore: Features that are not watched. Nor are those that `redact` keeps from the log.
    """

    window: Span = 7 * 86400.0
    block: Span = 86400.0
    segments: tuple[str, ...] = ()
    min_label_coverage: Share = 0.8
    drift_q: Probability = 0.01
    min_effect: Share = 0.05
    performance_drop: Annotated[float, Meta(ge=0)] = 0.02
    label_delay: Seconds = 86400.0
    multivariate: bool = False
    max_out_of_contract: Share = 0.01
    silence: Annotated[float, Meta(ge=0, lt=1)] = 1e-4
    ignore: tuple[str, ...] = ()


class ServingPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models.NAME.serving]`: the endpoint.

    Attributes:
        endpoint: The endpoint's name; the model's name where it is left out.
        validate: Whether a request that breaks the contract is refused or only counted.
        log: Which share of predictions is logged, 0 to 1.
        redact: Columns that never reach the log as they are: `NAME` not at all, `NAME: hash` as a
            keyed hash, `NAME: truncate 3` as its first letters.
        durable: Whether a prediction is answered only when its log record is on disk.
        keep: How many of the versions that answered before stay warm.
        log_keep: How long the log is kept, such as `"90d"`; for ever where it is left out.
        log_size: How large it may become, such as `"10GB"`; its oldest days go first.
    """

    endpoint: str | None = None
    validate: Literal["refuse", "count"] = "refuse"
    log: Share = 1.0
    redact: tuple[str, ...] = ()
    durable: bool = False
    keep: Annotated[int, Meta(ge=0, le=50)] = 1
    log_keep: Span | None = None
    log_size: Size | None = None


class SinkPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[alerts.sinks.NAME]`: where messages go. Secrets come from the environment or from files.

    Attributes:
        kind: `log`, `webhook` (signed JSON), `alertmanager`, `apprise` (Slack, mail, Teams,
            PagerDuty and a hundred more), or a plugin's name.
        url: Where it listens, where that is no secret.
        url_env: The environment variable that holds the address.
        url_file: The file that holds the address, relative to `tidemill.toml`.
        secret_env: The environment variable that holds the secret that webhooks are signed with.
        secret_file: The file that holds it, relative to `tidemill.toml`.
        allow_private: Whether it may be this machine or one of a private network.
        timeout: How long one attempt may take, in seconds.
        options: What a plugin wants to know besides.
    """

    kind: str
    url: str | None = None
    url_env: str | None = None
    url_file: str | None = None
    secret_env: str | None = None
    secret_file: str | None = None
    allow_private: bool = False
    timeout: Annotated[float, Meta(gt=0, le=120, title=DURATION)] = 10.0
    options: dict[str, bool | int | float | str] = {}


class RoutePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[alerts.routes]`: which sinks are told, by severity.

    Attributes:
        info: Of what is only good to know; nobody where it is left out.
        warning: Of warnings; every sink where it is left out.
        critical: Of what cannot wait; every sink where it is left out.
    """

    info: tuple[str, ...] | None = None
    warning: tuple[str, ...] | None = None
    critical: tuple[str, ...] | None = None


class AlertRule(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[alerts.rules.NAME]`: what is an alert. Names either kinds (`on`) or a figure (`metric`).

    Attributes:
        on: Kinds of findings, and what else may happen: `performance`, `training-failed`, …
        metric: A figure of windows (a metric of quality, `coverage`, `latency_p99_ms`,
            `drift.COLUMN`, …) or of the system (`system.…`).
        source: Whether quality is the one that labels tell, or the one that is expected without.
        below: The value under which it is an alert.
        above: The value over which it is an alert.
        recovered: The value at which it is over; the same value where it is left out.
        models: Of these models only.
        endpoints: Of these endpoints only.
        for: How long it must hold before it is an alert, in seconds; `hold` in Python.
        severity: How much it matters; as the finding says where it is left out. What a rule with
            `ignore` matches is no alert at all.
        sinks: Which sinks are told; by the routes where it is left out.
        cooldown: How long after a message the alert's next one is held back, in seconds.
        resolve_after: How long it must be clear before it counts as over, in seconds.
        reopen: How long after its end it is still the same alert when it comes again, in seconds.
    """

    on: tuple[str, ...] = ()
    metric: str | None = None
    source: Literal["realised", "estimated"] = "realised"
    below: float | None = None
    above: float | None = None
    recovered: float | None = None
    models: tuple[str, ...] = ()
    endpoints: tuple[str, ...] = ()
    hold: Seconds = msgspec.field(name="for", default=0.0)
    severity: Literal["ignore", "info", "warning", "critical"] | None = None
    sinks: tuple[str, ...] | None = None
    cooldown: Seconds | None = None
    resolve_after: Seconds | None = None
    reopen: Seconds | None = None


class RuntimePolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models.NAME.runtime]`: the processes of a model that has no ONNX twin.

    Attributes:
        processes: How many answer beside each other, in each worker.
        threads: How many threads a library may use in one of them.
        memory_mb: The most memory of one, in MiB; 0 for no limit.
        timeout: After how long without an answer one counts as hanging and is replaced.
        start_timeout: How long loading the model may take.
        waiting_rows: How many rows may wait before requests are refused with 429.
        requirements: Packages that the model needs beyond those that are found by themselves.
    """

    processes: Annotated[int, Meta(ge=1, le=64)] = 1
    threads: Annotated[int, Meta(ge=1, le=256)] = 1
    memory_mb: Count = 4096
    timeout: Span = 30.0
    start_timeout: Span = 120.0
    waiting_rows: Annotated[int, Meta(ge=1)] = 10_000
    requirements: tuple[str, ...] = ()


class AlertPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[alerts]`: what is an alert, and who is told.

    Attributes:
        defaults: Whether whatever no rule names is an alert as its finding says.
        sinks: By name; where there is none, alerts go to the log.
        routes: Which sinks are told, by severity.
        rules: By name; the first that matches a finding decides.
        cooldown: How long after a message an alert's next one is held back, in seconds.
        resolve_after: How long it must be clear before it counts as over, in seconds.
        reopen: How long after its end it is still the same alert when it comes again, in seconds.
        page: The address under which people reach this server; messages link to it.
    """

    defaults: bool = True
    sinks: dict[str, SinkPolicy] = {}
    routes: RoutePolicy = RoutePolicy()
    rules: dict[str, AlertRule] = {}
    cooldown: Seconds = 3600.0
    resolve_after: Seconds = 0.0
    reopen: Seconds = 7 * 86400.0
    page: str | None = None


class HealthPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[health]`: from when on the machine, its processes and endpoints are in trouble.

    Attributes:
        lasting: How long a limit must be passed before it is said, and kept before that is over.
        max_cpu: The share of all processors in use.
        max_memory: The share of the memory in use.
        max_disk: The share of the home's disk in use.
        max_error_rate: The share of an endpoint's requests that failed.
        max_refused: The share of an endpoint's requests that were refused for their values.
        max_latency: The 99th percentile of the time to answer; not watched where it is left out.
        max_queue: The 99th percentile of the wait for a place in a batch.
    """

    lasting: Annotated[float, Meta(ge=10, le=3600, title=DURATION)] = 300.0
    max_cpu: Share = 0.95
    max_memory: Share = 0.95
    max_disk: Share = 0.9
    max_error_rate: Share = 0.02
    max_refused: Share = 0.05
    max_latency: Span | None = None
    max_queue: Span | None = 1.0


class ModelPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[models.NAME]`: one model's whole life.

    Attributes:
        train: `MODULE:FUNCTION`, the user's training function.
        dataset: The dataset it learns from.
        task: Told from the label where it is left out.
        window: How far back training rows reach, in seconds; all of them where it is left out.
        holdout: How much of the newest data is kept for judging: seconds where the dataset has a
            time column, else a share of the rows between 0 and 1.
        refit: Whether a candidate that passed its gate is trained again on all rows, holdout
            included, before it is registered.
        params: Keyword arguments handed to the training function.
        metrics: The metrics that are computed and shown; the first is the one that is watched.
        threshold: The probability from which a binary model says yes.
        positive: The label value that counts as yes; told from the data where it is left out.
        seed: Handed to the training function where it takes `seed`, and to every resampling.
        trust: Which models the control plane may unpickle.
        gate: What a candidate must reach before it is registered, by metric.
        backtest: How much it may differ from what was answered lately; not looked at where it is
            left out.
        rollout: How it gets the traffic.
        retrain: When it is trained again.
        monitor: How it is watched.
        serving: How it is served.
        runtime: How it is run where it has no ONNX twin.
    """

    train: str
    dataset: str
    task: Task | None = None
    window: Span | None = None
    holdout: Span = 0.2
    refit: bool = True
    params: dict[str, bool | int | float | str] = {}
    metrics: tuple[str, ...] = ()
    threshold: Probability = 0.5
    positive: bool | int | str | None = None
    seed: Annotated[int, Meta(ge=0, lt=1 << 32)] = 0
    trust: Literal["own", "signed", "never"] = "own"
    gate: dict[str, GateRule] = {}
    backtest: BacktestPolicy | None = None
    rollout: RolloutPolicy = RolloutPolicy()
    retrain: RetrainPolicy = RetrainPolicy()
    monitor: MonitorPolicy = MonitorPolicy()
    serving: ServingPolicy = ServingPolicy()
    runtime: RuntimePolicy = RuntimePolicy()

    @property
    def watching(self) -> MonitorPolicy:
        """How predictions are watched, as far as the log has them."""
        redacted = [read_redaction(said) for said in self.serving.redact]
        hidden = tuple(rule.column for rule in redacted if rule is not None)
        return replace(self.monitor, ignore=(*self.monitor.ignore, *hidden))


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole of `tidemill.toml`.

    Attributes:
        project: The project's name; the folder's where it is left out.
        datasets: By name.
        models: By name.
        alerts: What is an alert, and who is told.
        health: From when on the machine is in trouble.
        settings: Of the installation, such as ports; flags and variables come before them.
    """

    project: str | None = None
    datasets: dict[str, DatasetPolicy] = {}
    models: dict[str, ModelPolicy] = {}
    alerts: AlertPolicy = AlertPolicy()
    health: HealthPolicy = HealthPolicy()
    settings: dict[str, bool | int | float | str] = {}
