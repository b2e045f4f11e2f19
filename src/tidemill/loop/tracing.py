"""From a prediction back to the rows: the chain of what led to it.

prediction → deployment decision → model version → run → code, environment, dataset version, rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tidemill.core.clock import from_micros
from tidemill.core.errors import NotFound
from tidemill.core.events import Fact
from tidemill.core.references import Ref
from tidemill.datasets.service import Datasets
from tidemill.journal.service import Journal
from tidemill.loop.events import Decided
from tidemill.loop.records import Link, Trace
from tidemill.predictions.finding import Found, find_prediction
from tidemill.predictions.records import PredictionRecord
from tidemill.registry.events import ModelRenamed
from tidemill.registry.records import ModelVersion
from tidemill.registry.service import Registry
from tidemill.serving.events import Deployed, RolloutMoved, TrafficChanged
from tidemill.tracking.records import Run
from tidemill.tracking.service import Tracking

_TRAFFIC = (Deployed.type, RolloutMoved.type, TrafficChanged.type)


class Tracer:
    """Follows predictions back.

    Args:
        predictions: The letterbox's folder.
        journal: Where deployments were written down.
        registry: Where versions are.
        tracking: Where runs are.
        datasets: Where rows are.
    """

    def __init__(
        self,
        predictions: Path,
        journal: Journal,
        registry: Registry,
        tracking: Tracking,
        datasets: Datasets,
    ) -> None:
        self._predictions = predictions
        self._journal = journal
        self._registry = registry
        self._tracking = tracking
        self._datasets = datasets

    def trace(self, prediction: str) -> Trace:
        """Return the chain of a prediction, named by its id, its trace or its request.

        Raises:
            PredictionNotFound: There is none of that name.
        """
        found = find_prediction(self._predictions, prediction)
        record = found.record
        links = [_prediction_link(found)]
        deployment = self._deployment(found)
        if deployment is not None:
            links.append(_fact_link("deployment", deployment))
            decision = self._decision(deployment)
            if decision is not None:
                links.append(_decision_link(decision))
        return Trace(prediction=found.id, links=(*links, *self._beginnings(record)))

    def _beginnings(self, record: PredictionRecord) -> list[Link]:
        """Return what the prediction's version is, and what it came from."""
        named = Ref("model", record.model, str(record.version))
        now = self._named_now(named, record.time)
        try:
            version = self._registry.version(now)
        except NotFound:
            gone = {"status": "deleted since"}
            return [Link(what="model version", reference=str(now), time=None, facts=gone)]
        before = {} if now == named else {"then": str(named)}
        return [_version_link(version, before), *self._origin(version)]

    def _named_now(self, ref: Ref, moment: int) -> Ref:
        """Return a model's reference under the name that it has been given since a moment."""
        name, since = ref.name, from_micros(moment)
        for fact in self._journal.read(types=(ModelRenamed.type,), limit=10_000):
            renamed = fact.read(ModelRenamed)
            if fact.time >= since and renamed.previous == name:
                name = renamed.model
        return Ref("model", name, ref.version)

    def _deployment(self, found: Found) -> Fact | None:
        """Return the newest change of traffic before the prediction that named its version."""
        moment = from_micros(found.record.time)
        facts = self._journal.read(
            types=_TRAFFIC,
            subject=Ref("endpoint", found.endpoint),
            newest_first=True,
            limit=10_000,
        )
        for fact in facts:
            if fact.time <= moment and found.record.version in _versions(fact):
                return fact
        return None

    def _decision(self, fact: Fact) -> Fact | None:
        cause = fact.cause
        while cause is not None:
            try:
                before = self._journal.get(cause)
            except NotFound:
                return None
            if before.type == Decided.type:
                return before
            cause = before.cause
        return None

    def _origin(self, version: ModelVersion) -> list[Link]:
        if version.run_id is None:
            return []
        try:
            run = self._tracking.get(version.run_id)
        except NotFound:
            gone = {"status": "not here"}
            return [Link(what="run", reference=f"run:{version.run_id}", time=None, facts=gone)]
        links = [_run_link(run), *_made_of(run.tags)]
        if version.dataset is not None:
            links.append(self._rows(version.dataset))
        return links

    def _rows(self, reference: str) -> Link:
        dataset = self._datasets.version(Ref.parse(reference))
        files = self._datasets.files(dataset)
        moments = [f.since for f in files if f.since], [f.until for f in files if f.until]
        facts = {
            "rows": dataset.rows,
            "files": len(files),
            "from": min(moments[0]).isoformat() if moments[0] else "",
            "to": max(moments[1]).isoformat() if moments[1] else "",
            "newest file": files[-1].name if files else "",
        }
        return Link(
            what="dataset version",
            reference=reference,
            time=dataset.created,
            facts=_known(facts),
        )


def _versions(fact: Fact) -> set[int]:
    """Return the versions that a change of traffic names."""
    fields = fact.fields()
    return {part["version"] for part in (fields, *fields.get("parts", ())) if "version" in part}


def _prediction_link(found: Found) -> Link:
    record = found.record
    facts = {
        "endpoint": found.endpoint,
        "answer": record.predictions[found.row],
        "score": None if record.scores is None else record.scores[found.row],
        "key": None if record.keys is None else record.keys[found.row],
        "role": record.role,
        "latency": f"{record.latency_us / 1000:.2f} ms",
        "features": found.features,
    }
    return Link(
        what="prediction",
        reference=f"prediction:{found.id}",
        time=from_micros(record.time),
        facts=_known(facts),
    )


def _fact_link(what: str, fact: Fact) -> Link:
    return Link(
        what=what,
        reference=fact.subject,
        time=fact.time,
        facts=_known({**fact.fields(), "by": fact.actor}),
    )


def _decision_link(fact: Fact) -> Link:
    decision = fact.read(Decided).decision
    facts = {
        "decision": decision.kind,
        "because": decision.reason,
        "trigger": decision.trigger,
        **decision.numbers,
    }
    return Link(
        what="decision",
        reference=f"decision:{decision.id}",
        time=decision.time,
        facts=_known(facts),
    )


def _version_link(version: ModelVersion, before: dict[str, str]) -> Link:
    facts = {
        **before,
        "task": version.task,
        "flavor": version.flavor,
        "bundle": (version.bundle or "")[:12],
        **version.metrics,
    }
    return Link(
        what="model version", reference=str(version.ref), time=version.created, facts=_known(facts)
    )


def _run_link(run: Run) -> Link:
    facts = {
        "name": run.name,
        "experiment": run.tags.get("tidemill.model", ""),
        "status": run.status,
        "started by": run.actor,
        "seed": run.tags.get("tidemill.seed", ""),
    }
    return Link(what="run", reference=f"run:{run.id}", time=run.started, facts=_known(facts))


def _made_of(tags: Mapping[str, str]) -> list[Link]:
    """Return the code and the environment of a run, as far as it says them."""
    digest = tags.get("tidemill.code", "")
    commit = tags.get("tidemill.commit") or tags.get("mlflow.source.git.commit", "")
    source = "" if digest else tags.get("mlflow.source.name", "")
    code = _known({"digest": digest, "commit": commit, "program": source})
    links = []
    if code:
        name = f"code:{(digest or commit)[:12] or source}"
        links.append(Link(what="code", reference=name, time=None, facts=code))
    surroundings = tags.get("tidemill.environment", "")
    if surroundings:
        name = f"environment:{surroundings[:12]}"
        facts = {"digest": surroundings}
        links.append(Link(what="environment", reference=name, time=None, facts=facts))
    return links


def _known(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if v not in (None, "")}
