"""`models`: models, their versions, and what was live when."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser(
        "models", help="models: list, versions, show, history, alias, stage"
    )
    verbs = group.add_subparsers(metavar="VERB", required=True)
    show_all = verbs.add_parser("list", parents=[common], help="all models")
    show_all.set_defaults(command=_list)
    versions = verbs.add_parser("versions", parents=[common], help="a model's versions")
    versions.add_argument("model")
    versions.set_defaults(command=_versions)
    show = verbs.add_parser("show", parents=[common], help="one version: bundle, twin, signature")
    show.add_argument("ref", help="NAME@VERSION or NAME@ALIAS")
    show.set_defaults(command=_show)
    history = verbs.add_parser(
        "history", parents=[common], help="all that happened to a model, who did it and why"
    )
    history.add_argument("model")
    history.set_defaults(command=_history)
    alias = verbs.add_parser("alias", parents=[common], help="have an alias name a version")
    alias.add_argument("model")
    alias.add_argument("alias")
    alias.add_argument("version", type=int)
    alias.add_argument("--reason", default="")
    alias.set_defaults(command=_alias)
    stage = verbs.add_parser(
        "stage", parents=[common], help="put a version into a stage: Staging, Production, …"
    )
    stage.add_argument("ref", help="NAME@VERSION or NAME@ALIAS")
    stage.add_argument("stage", help="None, Staging, Production or Archived")
    stage.add_argument("--archive-others", action="store_true", help="archive those in it now")
    stage.add_argument("--reason", default="")
    stage.set_defaults(command=_stage)
    packing = verbs.add_parser(
        "pack", parents=[common], help="make a version ready that MLflow's client registered"
    )
    packing.add_argument("ref", help="NAME@VERSION")
    packing.add_argument("--rows", type=Path, help="rows to check its ONNX twin on, as a file")
    packing.set_defaults(command=_pack)
    approve = verbs.add_parser("approve", parents=[common], help="mark a version as ready")
    approve.add_argument("ref", help="NAME@VERSION")
    approve.add_argument("--reason", default="")
    approve.set_defaults(command=_approve)


def _list(context: Context, _given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("models")
    if not context.output.data(found):
        rows = [(m.name, m.latest, m.aliases, m.created) for m in found]
        context.output.table(("model", "newest", "aliases", "created"), rows)
    return 0


def _versions(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("versions", model=given.model)
    if not context.output.data(found):
        rows = [
            (v.version, v.status, v.aliases, v.metrics, v.dataset, (v.run_id or "")[:12], v.created)
            for v in found
        ]
        names = ("version", "status", "aliases", "metrics", "dataset", "run", "created")
        context.output.table(names, rows)
    return 0


def _show(context: Context, given: argparse.Namespace) -> int:
    from pathlib import Path

    from tidemill.models.bundle import open_bundle
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        version = session.ask("version", ref=given.ref)
        folder = session.ask("bundle", ref=given.ref)
    manifest = open_bundle(Path(folder))
    if not context.output.data({"version": version, "manifest": manifest, "bundle": folder}):
        twin = manifest.twin
        parity = twin.parity if twin else None
        said = (
            f"verified on {parity.rows:,} rows, largest difference {parity.max_difference:.2g}"
            if parity
            else f"none: {manifest.no_twin}"
        )
        facts = {
            "version": version.ref,
            "status": version.status,
            "task": version.task,
            "flavor": version.flavor,
            "ONNX twin": said,
            "classes": manifest.signature.classes,
            "run": version.run_id,
            "dataset": version.dataset,
            "bundle": folder,
            **version.metrics,
        }
        context.output.table(("", ""), list(facts.items()))
        rows = [(c.name, c.type, c.nullable, c.min, c.max) for c in manifest.signature.features]
        context.output.table(("feature", "type", "nullable", "min", "max"), rows)
    return 0


def _history(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("chronicle", model=given.model)
    if not context.output.data(found):
        rows = [
            (c.time, c.what, c.name, c.version, c.before, c.after, c.actor, c.reason) for c in found
        ]
        names = ("when", "what", "of", "version", "from", "to", "by", "why")
        context.output.table(names, rows)
    return 0


def _alias(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask(
            "alias",
            model=given.model,
            alias=given.alias,
            version=given.version,
            reason=given.reason,
        )
    if not context.output.data(found):
        context.output.write(f"{given.model}@{given.alias} is version {given.version}")
    return 0


def _stage(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask(
            "stage",
            ref=given.ref,
            stage=given.stage,
            reason=given.reason,
            archive_others=given.archive_others,
        )
    if not context.output.data(found):
        context.output.write(f"{found.ref} is in the stage {found.stage}")
    return 0


def _pack(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.packing import pack
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = pack(context, session, given.ref, given.rows)
    if not context.output.data(found):
        context.output.write(f"{found.ref} is a bundle of flavor {found.flavor}")
    return 0


def _approve(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("approve", ref=given.ref, reason=given.reason)
    if not context.output.data(found):
        context.output.write(f"{found.ref} is {found.status}")
    return 0
