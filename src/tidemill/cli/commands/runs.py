"""`runs`: what was run, and what came of it."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context
    from tidemill.tracking.records import Artifact, RunDetail


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser(
        "runs", help="runs: list, show, logs, code, compare, sync, delete, restore"
    )
    verbs = group.add_subparsers(metavar="VERB", required=True)
    show_all = verbs.add_parser("list", parents=[common], help="the newest runs, or some")
    show_all.add_argument(
        "--filter", default="", help="such as: metrics.auc > 0.7 AND NOT params.depth = '3'"
    )
    show_all.add_argument(
        "--order", default="", metavar="NAMES", help="such as: metrics.auc DESC, start_time"
    )
    show_all.add_argument(
        "--experiment", action="append", metavar="NAME", help="only its runs; may be repeated"
    )
    show_all.add_argument(
        "--deleted", action="store_true", help="those that were deleted and can be restored"
    )
    show_all.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
    show_all.set_defaults(command=_list)
    show = verbs.add_parser("show", parents=[common], help="one run, with its steps")
    show.add_argument("run", help="its id, or the beginning of it")
    show.set_defaults(command=_show)
    logs = verbs.add_parser("logs", parents=[common], help="what a step printed")
    logs.add_argument("run")
    logs.add_argument("step")
    logs.set_defaults(command=_logs)
    compare = verbs.add_parser("compare", parents=[common], help="runs side by side")
    compare.add_argument("runs", nargs="+")
    compare.set_defaults(command=_compare)
    code = verbs.add_parser("code", parents=[common], help="write out the code of a run")
    code.add_argument("run", help="its id, or the beginning of it")
    code.add_argument("--out", type=Path, required=True, help="an empty folder")
    code.add_argument("--repository", type=Path, help="a clone that has the commit")
    code.set_defaults(command=_code)
    sync = verbs.add_parser("sync", parents=[common], help="upload what was logged offline")
    sync.set_defaults(command=_sync)
    gone = verbs.add_parser("delete", parents=[common], help="delete runs; they can be restored")
    gone.add_argument("runs", nargs="+", metavar="RUN")
    gone.set_defaults(command=_delete)
    back = verbs.add_parser("restore", parents=[common], help="restore deleted runs")
    back.add_argument("runs", nargs="+", metavar="RUN")
    back.set_defaults(command=_restore)


def _list(context: Context, given: argparse.Namespace) -> int:
    from tidemill.core.search.parser import split_order
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask(
            "search_runs",
            filter=given.filter,
            order_by=split_order(given.order),
            experiments=given.experiment,
            view="deleted" if given.deleted else "active",
            limit=given.limit,
        )
    if not context.output.data(found):
        rows = [(r.id, r.name, r.status, r.started, r.actor, _some(r.metrics)) for r in found]
        context.output.table(("run", "name", "status", "started", "by", "metrics"), rows)
    return 0


def _show(context: Context, given: argparse.Namespace) -> int:
    from tidemill.core.errors import NotFound
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        detail = session.ask("run_detail", id=given.run.removeprefix("run:"))
        files = session.ask("run_artifacts", id=detail.run.id)
        try:
            steps = session.ask("pipeline_run", id=detail.run.id)
        except NotFound:
            steps = None
    told = {"run": detail.run, "links": detail.links, "artifacts": files, "pipeline": steps}
    if not context.output.data(told):
        _tell(context, detail, files)
        if steps is not None:
            if steps.error:
                context.output.say(steps.error)
            rows = [(s.name, s.status, s.started, s.error) for s in steps.steps]
            context.output.table(("step", "status", "started", "error"), rows)
    return 0


def _tell(context: Context, detail: RunDetail, files: Sequence[Artifact]) -> None:
    from tidemill.cli.output import size

    run, links = detail.run, detail.links
    stands = run.status if run.lifecycle == "active" else f"{run.status}, {run.lifecycle}"
    context.output.write(f"{run.id}  {run.name}  {stands}  {run.started:%Y-%m-%d %H:%M}")
    models = [(m.model_id, "read") for m in links.read]
    models += [(m.model_id, "written") for m in links.written]
    tables: tuple[tuple[str, Iterable[Sequence[object]]], ...] = (
        ("metrics", sorted(run.metrics.items())),
        ("params", sorted(run.params.items())),
        ("tags", sorted(run.tags.items())),
        ("datasets", [(d.name, d.digest) for d in links.datasets]),
        ("models", models),
        ("artifacts", [(a.path, size(a.size)) for a in files]),
    )
    for name, rows in tables:
        if rows:
            context.output.table((name, ""), rows)


def _some(metrics: dict[str, float]) -> str:
    """Return the first few metrics, as they stand in a row of a list."""
    from tidemill.cli.output import cell

    shown = [f"{key[:40]} {cell(value)}" for key, value in sorted(metrics.items())[:4]]
    return ", ".join([*shown, "…"] if len(metrics) > len(shown) else shown)


def _logs(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        text = session.ask("run_log", id=given.run.removeprefix("run:"), step=given.step)
    if not context.output.data(text):
        context.output.write(text.rstrip("\n"))
    return 0


def _code(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.sources import write_code
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        written = write_code(session, given.run.removeprefix("run:"), given.out, given.repository)
    if not context.output.data(written):
        context.output.write(f"{written.files} files in {written.folder}")
    return 0


def _sync(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.destinations.choice import SPOOL, reach
    from tidemill.sdk.destinations.upload import upload
    from tidemill.sdk.session import find_home

    home = find_home(context.home)
    destination = reach(home)
    try:
        done = upload(home / SPOOL, destination, on_progress=context.output.say)
    finally:
        destination.close()
    if not context.output.data(done):
        waiting = f"; {len(done.waiting)} still being logged" if done.waiting else ""
        context.output.write(f"{len(done.runs)} runs uploaded{waiting}")
    for run_id, reasons in done.refused.items():
        context.output.say(f"Of run {run_id} was refused, and is kept in {home / SPOOL}/refused:")
        for reason in reasons:
            context.output.say(f"  {reason}")
    return 6 if done.refused else 0


def _compare(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        runs = [session.ask("run", id=name.removeprefix("run:")) for name in given.runs]
    if not context.output.data(runs):
        rows = []
        for kind in ("metrics", "params", "tags"):
            names = sorted({key for run in runs for key in getattr(run, kind)})
            for key in names:
                values = [getattr(run, kind).get(key) for run in runs]
                rows.append((kind, key, *values, "" if len(set(values)) == 1 else "≠"))
        context.output.table(("", "", *(r.id[:12] for r in runs), ""), rows)
    return 0


def _delete(context: Context, given: argparse.Namespace) -> int:
    code = _change(context, given, "delete_run")
    context.output.say("They can be restored until `tidemill gc` erases them.")
    return code


def _restore(context: Context, given: argparse.Namespace) -> int:
    return _change(context, given, "restore_run")


def _change(context: Context, given: argparse.Namespace, operation: str) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        runs = [session.ask(operation, id=name.removeprefix("run:")) for name in given.runs]
    if not context.output.data(runs):
        context.output.table(("run", "name", ""), [(r.id, r.name, r.lifecycle) for r in runs])
    return 0
