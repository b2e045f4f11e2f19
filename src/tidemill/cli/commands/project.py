"""`init`, `demo`, `up`, `run`, `ci`, `reproduce`: a project's beginnings and its work."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context
    from tidemill.pipelines.records import PipelineRun


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    init = commands.add_parser("init", parents=[common], help="make a project in this folder")
    init.add_argument("folder", nargs="?", type=Path, default=Path(), help="where (default: here)")
    init.add_argument("--data", type=Path, help="a CSV or Parquet file to begin with")
    init.add_argument("--label", help="the column to predict")
    init.add_argument("--time", help="the column that says when a row happened")
    init.add_argument("--key", help="the column that names a row")
    init.add_argument("--model", default="model", help="the model's name (default: model)")
    init.add_argument("--github", action="store_true", help="write a GitHub workflow as well")
    init.set_defaults(command=_init)

    demo = commands.add_parser(
        "demo", parents=[common], help="run the closed loop on a year of flights"
    )
    demo.add_argument("--folder", type=Path, default=Path("tidemill-demo"), help="where")
    demo.add_argument("--days", type=int, help="how many days to play (default: the whole year)")
    demo.add_argument("--no-comparison", action="store_true", help="leave the comparison out")
    demo.set_defaults(command=_demo)

    up = commands.add_parser("up", parents=[common], help="serve the home: API, page, predictions")
    up.add_argument(
        "--database",
        metavar="URL",
        help="a PostgreSQL database for the home, remembered without its password",
    )
    up.add_argument("--host", help="the address to listen on (default: 127.0.0.1)")
    up.add_argument("--port", type=int, help="of the control plane (default: 8750)")
    up.add_argument("--serve-port", type=int, help="of the workers (default: 8751)")
    up.add_argument("--grpc-port", help="of the workers, for gRPC; needs the extra grpc")
    up.add_argument("--access-log", help="a file for a line about each request to the workers")
    up.add_argument("--workers", type=int, help="how many (default: 1)")
    up.add_argument("--worker-memory", help="MB that a worker may take before it is replaced")
    up.add_argument("--allow-hosts", help="names by which clients may call, with commas between")
    up.add_argument("--max-body", help="MiB that a request's body may have (default: 32)")
    up.add_argument("--max-rows", help="in a worker's hands at once (default: 200000)")
    up.add_argument("--tick", type=float, help="how often the loop goes around, in s (default: 30)")
    up.set_defaults(command=_up)

    run = commands.add_parser("run", parents=[common], help="train, judge and roll out a model")
    run.add_argument("model", nargs="?", help="which (default: the only one of the policy)")
    run.set_defaults(command=_run)

    ci = commands.add_parser("ci", parents=[common], help="train and judge the working tree")
    ci.add_argument("model", nargs="?", help="which (default: the only one of the policy)")
    ci.add_argument("--report", type=Path, help="write the Markdown report here as well")
    ci.set_defaults(command=_ci)

    again = commands.add_parser("reproduce", parents=[common], help="make a run again, and compare")
    again.add_argument("run", help="the run's id, or the beginning of it")
    again.set_defaults(command=_reproduce)


def _init(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.scaffold import scaffold

    made = scaffold(
        given.folder,
        data=given.data,
        label=given.label,
        time=given.time,
        key=given.key,
        model=given.model,
        github=given.github,
    )
    if not context.output.data([str(p) for p in made.files]):
        for path in made.files:
            context.output.say(f"wrote {path}")
        for role, column in made.guessed.items():
            what = {"time": "when a row happened", "key": "which row it is"}[role]
            context.output.say(f"{column!r} seems to say {what}: --{role} would name another.")
        context.output.say("Next: look at tidemill.toml, then `tidemill run` and `tidemill up`.")
    return 0


def _demo(context: Context, given: argparse.Namespace) -> int:
    from rich.console import Console

    from tidemill.cli.summary import demo_summary
    from tidemill.demo.runner import run_demo

    outcome = run_demo(
        given.folder, Console(stderr=True), days=given.days, baselines=not given.no_comparison
    )
    if not context.output.data(outcome):
        demo_summary(outcome, Console())
    return 0


def _up(context: Context, given: argparse.Namespace) -> int:
    import logging

    from tidemill.cli.configuration import settings_of
    from tidemill.home import POLICY, Home
    from tidemill.sdk.session import find_home
    from tidemill.server.process import serve

    logging.basicConfig(stream=sys.stderr, format="%(levelname)s %(message)s")
    path = find_home(context.home)
    said = {name: found.value for name, found in settings_of(path.parent, vars(given)).items()}

    def ready(address: str, serving: str) -> None:
        if not context.output.data({"address": address, "serving": serving, "home": str(path)}):
            context.output.write(f"ready: page and API at {address}, predictions at {serving}")
        sys.stdout.flush()

    inside = context.home is not None or (path.parent / POLICY).exists()
    with Home.open(path, create=inside, database=_database(given)) as home:
        serve(
            home,
            host=str(said["host"]),
            port=int(said["port"]),
            serve_port=int(said["serve_port"]),
            workers=int(said["workers"]),
            on_ready=ready,
            tick=float(said["tick"]),
            grpc_port=None if said["grpc_port"] == "off" else int(said["grpc_port"]),
            access_log=None if said["access_log"] == "off" else Path(str(said["access_log"])),
            worker_memory=None if said["worker_memory"] == "off" else int(said["worker_memory"]),
            allow_hosts=_names(str(said["allow_hosts"])),
            max_body=int(said["max_body"]) << 20,
            max_rows=int(said["max_rows"]),
        )
    return 0


def _names(said: str) -> tuple[str, ...]:
    return () if said == "none" else tuple(n for part in said.split(",") if (n := part.strip()))


def _database(given: argparse.Namespace) -> str | None:
    """Return the database that the command line names; all else the home finds by itself."""
    from tidemill.core.settings import resolve

    found = resolve(flags={"database": given.database})["database"]
    return None if found.origin == "default" else str(found.value)


def _run(context: Context, given: argparse.Namespace) -> int:
    return _train(context, given, "train")


def _ci(context: Context, given: argparse.Namespace) -> int:
    return _train(context, given, "check")


def _train(context: Context, given: argparse.Namespace, operation: str) -> int:
    from tidemill.cli.following import follow, only_model
    from tidemill.cli.summary import check_report, run_summary
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        model = given.model or only_model(session)
        job = follow(session, session.ask(operation, model=model), context.output)
        run: PipelineRun = job.run
        if operation == "check":
            report = check_report(session, run)
            if given.report is not None:
                given.report.write_text(report, "utf-8")
            if not context.output.data(run):
                context.output.write(report)
            return {"finished": 0, "held": 6}.get(_verdict(report, run), 1)
        if not context.output.data(run):
            run_summary(session, run, context.output)
        return {"finished": 0, "held": 6}.get(run.status, 1)


def _verdict(report: str, run: PipelineRun) -> str:
    return "held" if run.status == "finished" and "**held back**" in report else run.status


def _reproduce(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.following import follow
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        name = given.run.removeprefix("run:")
        job = follow(session, session.ask("reproduce", id=name), context.output)
    found = job.reproduction
    if not context.output.data(found):
        context.output.write("identical" if found.identical else "different")
        context.output.say(f"Compared: {', '.join(found.compared)}.")
        context.output.table(
            ("what", "then", "now"), [(d.what, d.before, d.after) for d in found.differences]
        ) if found.differences else context.output.say("Nothing differs.")
    return 0 if found.identical else 6
