"""`import`, `export`: moving in and out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context
    from tidemill.exchange.mlflow.records import Imported
    from tidemill.home import Home


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    inward = commands.add_parser(
        "import",
        parents=[common],
        help="bring across what MLflow keeps, or an export of Tidemill",
        usage="tidemill import mlflow SOURCE | tidemill import FOLDER",
    )
    inward.add_argument(
        "what",
        nargs="+",
        metavar="SOURCE",
        help="mlflow and its mlflow.db, mlruns/ or http://…; or the folder of an export",
    )
    inward.add_argument(
        "--artifacts",
        type=Path,
        action="append",
        default=[],
        metavar="FOLDER",
        help="a folder that MLflow's artifacts may be read from, beside the source's own",
    )
    inward.add_argument(
        "--no-artifacts", action="store_true", help="leave MLflow's files where they are"
    )
    inward.set_defaults(command=_import)
    outward = commands.add_parser(
        "export", parents=[common], help="write the whole home as Parquet, JSON and plain files"
    )
    outward.add_argument("folder", type=Path, help="where to; made here")
    outward.set_defaults(command=_export)


def _import(context: Context, given: argparse.Namespace) -> int:
    from tidemill.core.errors import Usage

    match given.what:
        case ["mlflow", source]:
            return _from_mlflow(context, source, given)
        case [folder] if folder != "mlflow":
            return _restore(context, Path(folder))
    raise Usage(
        f"{' '.join(given.what)!r} is nothing to import.",
        expected="mlflow and a SOURCE, or the FOLDER of an export",
        hint="Such as: tidemill import mlflow mlruns",
    )


def _from_mlflow(context: Context, what: str, given: argparse.Namespace) -> int:
    from tidemill.cli.progress import bar
    from tidemill.exchange.mlflow.opening import open_source

    source = open_source(what, artifacts=given.artifacts)
    try:
        with _alone(context) as home, bar("runs") as progress:
            imported = home.mlflow_import.run(
                source,
                actor="user:local",
                with_artifacts=not given.no_artifacts,
                on_progress=progress,
            )
    finally:
        source.close()
    _say(context, imported)
    return 0


def _say(context: Context, imported: Imported) -> None:
    import msgspec

    if context.output.data(imported):
        return
    read, here = msgspec.structs.asdict(imported.read), msgspec.structs.asdict(imported.here)
    rows = [(name.replace("_", " "), f"{read[name]:,}", f"{here[name]:,}") for name in read]
    context.output.table(("", "in the source", "here"), rows)
    if imported.skipped:
        context.output.say(f"{imported.skipped:,} links and special files were passed over.")
    if imported.left_out:
        context.output.say(f"The files of {imported.left_out:,} runs and models were left there.")
    context.output.say(f"Everything of {imported.source} is here.")


def _export(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.output import size
    from tidemill.cli.progress import bar

    with _alone(context, create=False) as home, bar("files") as progress:
        manifest = home.exporter.write(given.folder.absolute(), on_progress=progress)
    if not context.output.data(manifest):
        rows = sum(manifest.rows.values())
        context.output.write(
            f"{given.folder}: {rows:,} rows, {manifest.blobs:,} files, {size(manifest.blob_bytes)}"
        )
        context.output.say(f"{given.folder}/README.txt tells what is where.")
    return 0


def _restore(context: Context, folder: Path) -> int:
    from tidemill.cli.progress import bar
    from tidemill.exchange.whole.restoring import read_manifest
    from tidemill.sdk.session import find_home

    read_manifest(folder)  # before a home is made for nothing
    with _alone(context) as home, bar("files") as progress:
        manifest = home.restorer.read(folder.absolute(), on_progress=progress)
    if not context.output.data(manifest):
        rows = sum(manifest.rows.values())
        path = find_home(context.home)
        context.output.write(f"{path}: {rows:,} rows, {manifest.blobs:,} files")
    return 0


def _alone(context: Context, *, create: bool = True) -> Home:
    """Open the home; whoever has it open cannot do this instead of us."""
    from tidemill.home import Home
    from tidemill.sdk.session import find_home
    from tidemill.storage.lock import HomeOwned

    try:
        return Home.open(find_home(context.home), create=create)
    except HomeOwned as error:
        raise HomeOwned(
            error.what,
            expected="a home that nobody has open, to move in or out",
            hint="Stop `tidemill up` first, and start it again afterwards.",
        ) from error
