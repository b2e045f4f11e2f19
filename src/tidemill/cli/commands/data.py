"""`data`: dataset versions."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser("data", help="dataset versions: list, show, add, check, compare")
    verbs = group.add_subparsers(metavar="VERB", required=True)

    show_all = verbs.add_parser("list", parents=[common], help="all datasets")
    show_all.set_defaults(command=_list)
    versions = verbs.add_parser("versions", parents=[common], help="a dataset's versions")
    versions.add_argument("dataset")
    versions.set_defaults(command=_versions)
    show = verbs.add_parser("show", parents=[common], help="one version: rows, files, contract")
    show.add_argument("dataset", help="NAME or NAME@DIGEST")
    show.set_defaults(command=_show)
    add = verbs.add_parser("add", parents=[common], help="take in what is new at the source")
    add.add_argument("dataset")
    add.set_defaults(command=_add)
    check = verbs.add_parser("validate", parents=[common], help="hold a file against a contract")
    check.add_argument("file", type=Path)
    check.add_argument("--contract", type=Path, required=True, help="the contract's file")
    check.set_defaults(command=_validate)
    diff = verbs.add_parser("diff", parents=[common], help="compare two versions")
    diff.add_argument("before", help="NAME@DIGEST")
    diff.add_argument("after", help="NAME@DIGEST")
    diff.set_defaults(command=_diff)
    profile = verbs.add_parser("profile", parents=[common], help="statistics of the columns")
    profile.add_argument("what", help="NAME, NAME@DIGEST, or a file")
    profile.set_defaults(command=_profile)


def _list(context: Context, _given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("datasets")
    if not context.output.data(found):
        rows = [(d.dataset, str(d.ref), d.number, d.files, d.rows, d.created) for d in found]
        names = ("dataset", "newest", "versions", "files", "rows", "created")
        context.output.table(names, rows)
    return 0


def _versions(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("dataset_versions", dataset=given.dataset)
    if not context.output.data(found):
        rows = [(d.number, str(d.ref), len(d.added), d.rows, d.created, d.actor) for d in found]
        context.output.table(("number", "version", "added", "rows", "created", "by"), rows)
    return 0


def _show(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("dataset_version", ref=given.dataset)
    if not context.output.data(found):
        context.output.write(f"{found.ref}: {found.rows:,} rows in {found.files} files")
        columns = found.contract.columns if found.contract else ()
        context.output.table(
            ("column", "type", "role", "nullable", "min", "max", "values"),
            [(c.name, c.type, c.role, c.nullable, c.min, c.max, c.values) for c in columns],
        )
    return 0


def _add(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("take_in", dataset=given.dataset)
    if not context.output.data(found):
        version = found.version
        said = "Nothing new." if version is None else f"{version.ref}: {version.rows:,} rows"
        context.output.write(said)
        for refusal in found.refused:
            context.output.say(f"refused: {refusal.name}: {refusal.reason}")
    return 5 if found.refused else 0


def _validate(context: Context, given: argparse.Namespace) -> int:
    from tidemill.core.clock import SystemClock
    from tidemill.datasets.contracts import read_contract
    from tidemill.datasets.frames import scan
    from tidemill.datasets.validation import validate

    contract = read_contract(given.contract)
    frame = scan(given.file, contract)
    report = validate(frame, contract, now=SystemClock().now(), name=given.file.name)
    if not context.output.data(report):
        context.output.say(f"{report.rows:,} rows, {report.columns} columns: {report.summary}.")
        context.output.table(
            ("column", "rule", "rows", "message"),
            [(v.column, v.rule, v.count, v.message) for v in report.violations],
        ) if report.violations else None
    return 0 if report.passed else 5


def _diff(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("dataset_diff", before=given.before, after=given.after)
    if not context.output.data(found):
        context.output.write(
            f"files +{found.files_added} -{found.files_removed}, "
            f"rows {found.rows_before:,} → {found.rows_after:,}"
        )
        rows = [(c.column, c.change, c.before, c.after) for c in found.columns]
        context.output.table(("column", "change", "before", "after"), rows)
    return 0


def _profile(context: Context, given: argparse.Namespace) -> int:
    from tidemill.datasets.frames import scan
    from tidemill.datasets.profiles import profile
    from tidemill.sdk.session import open_session

    path = Path(given.what)
    if path.suffix and path.is_file():
        found = profile(scan(path), name=path.name)
    else:
        with open_session(context.home) as session:
            found = session.ask("dataset_profile", ref=given.what)
    if not context.output.data(found):
        rows = [
            (
                *(p.name, p.type, f"{p.missing:.1%}", p.distinct, p.mean, p.std),
                p.quantiles or ", ".join(f"{value} {share:.1%}" for value, share in p.top),
            )
            for p in found
        ]
        names = ("column", "type", "missing", "distinct", "mean", "std", "quantiles or top")
        context.output.table(names, rows)
    return 0
