"""Experiments, runs, and runs of pipelines."""

from __future__ import annotations

from datetime import datetime

import msgspec

from tidemill.core.ids import is_id
from tidemill.pipelines.records import Evaluation, GateReport, PipelineRun
from tidemill.server.operations.errors import BadArgument
from tidemill.server.operations.records import Job
from tidemill.server.operations.subject import USER, Limit, Subject, changes
from tidemill.tracking.records import (
    Artifact,
    Experiment,
    Metric,
    NewRun,
    Run,
    RunDetail,
    RunStatus,
    View,
)


class Runs(Subject):
    """Experiments, runs, and runs of pipelines."""

    def runs(self, limit: Limit = 20) -> list[Run]:
        """The newest runs."""
        return self._home.tracking.runs(limit=limit)

    def search_runs(
        self,
        filter: str = "",
        order_by: list[str] | None = None,
        experiments: list[str] | None = None,
        view: View = "active",
        limit: Limit = 20,
    ) -> list[Run]:
        """The runs that a filter lets through, of the experiments named or of all."""
        tracking = self._home.tracking
        ids = None if experiments is None else tracking.experiment_ids(experiments)
        orders = order_by or []
        return tracking.search(ids, filter, order_by=orders, view=view, limit=limit).items

    def run(self, id: str) -> Run:
        """One run."""
        return self._home.tracking.get(id)

    def run_detail(self, id: str) -> RunDetail:
        """One run, with what it read and wrote."""
        return self._home.tracking.detail(id)

    def pipeline_run(self, id: str) -> PipelineRun:
        """One run of a pipeline, with its steps."""
        return self._home.pipelines.get(id)

    def run_log(self, id: str, step: str) -> str:
        """What a step printed."""
        return self._home.pipelines.log(id, step)

    def run_metric(self, id: str, key: str) -> list[Metric]:
        """Every point of a metric."""
        return self._home.tracking.history(id, key)

    def run_artifacts(self, id: str) -> list[Artifact]:
        """A run's artifacts."""
        return self._home.tracking.artifacts(id)

    def evaluation(self, id: str) -> Evaluation | None:
        """How good the candidate of a run is, where the run came so far."""
        report = self._report(id, "evaluation.json")
        return None if report is None else msgspec.json.decode(report, type=Evaluation)

    def gate(self, id: str) -> GateReport | None:
        """The verdict on the candidate of a run, where the run came so far."""
        report = self._report(id, "gate.json")
        return None if report is None else msgspec.json.decode(report, type=GateReport)

    def run_files(self, id: str, prefix: str) -> str:
        """The folder with a run's artifacts below a path, written out."""
        return str(self._home.shelf.artifacts(id, prefix))

    def run_sources(self, id: str) -> str | None:
        """The folder with the code that a pipeline's run was made of, if it is one."""
        digest = self._home.tracking.get(id).tags.get("tidemill.code")
        return None if digest is None else str(self._home.shelf.code(digest))

    @changes
    def experiment(self, name: str) -> Experiment:
        """An experiment; it is made where it is new."""
        return self._home.tracking.experiment(name)

    @changes
    def start_run(self, new: NewRun) -> Run:
        """Start a run whose id was chosen; one that is known is returned as it is."""
        if not is_id(new.id):
            raise BadArgument(f"{new.id!r} is no run's id.", expected="32 hexadecimal digits")
        return self._home.tracking.start_run(
            self._home.tracking.experiment(new.experiment).id,
            run_id=new.id,
            actor=new.actor[:200],
            name=new.name[:500],
            parent=new.parent,
            tags=new.tags,
            started=new.started,
        )

    @changes
    def resume_run(self, id: str, actor: str = USER) -> Run:
        """Go on with a run."""
        return self._home.tracking.resume_run(id, actor=actor[:200])

    @changes
    def end_run(
        self, id: str, status: RunStatus, actor: str = USER, ended: datetime | None = None
    ) -> Run:
        """End a run."""
        return self._home.tracking.update_run(id, status=status, actor=actor[:200], ended=ended)

    @changes
    def delete_run(self, id: str) -> Run:
        """Delete a run; it can be restored until it is erased."""
        return self._home.tracking.delete_run(id, actor=USER)

    @changes
    def restore_run(self, id: str) -> Run:
        """Restore a deleted run."""
        return self._home.tracking.restore_run(id, actor=USER)

    @changes
    def reproduce(self, id: str) -> Job:
        """Make a run again, and compare."""
        run = self._home.pipelines.get(id)
        return self._jobs.start(
            lambda job: setattr(
                job,
                "reproduction",
                self._home.reproducer.reproduce(
                    run.id, actor=USER, on_progress=lambda _, s: job.show(s.name)
                ),
            ),
            f"reproduce {run.id}",
        )

    def _report(self, id: str, path: str) -> bytes | None:
        found = [a for a in self._home.tracking.artifacts(id) if a.path == path]
        return self._home.blobs.read(found[0].digest) if found else None
