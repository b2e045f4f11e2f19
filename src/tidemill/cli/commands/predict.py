"""`predict`, `edge`: models at work away from an endpoint."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    predict = commands.add_parser("predict", parents=[common], help="score whole files")
    predict.add_argument("model", help="NAME, NAME@VERSION or NAME@ALIAS (default: @champion)")
    predict.add_argument("--input", required=True, help="a Parquet or CSV file, folder or pattern")
    predict.add_argument("--output", required=True, type=Path, help="a Parquet or CSV file")
    predict.add_argument("--threads", type=int, help="how many work (default: all)")
    predict.add_argument("--keep", choices=("keys", "all"), default="keys", help="which columns")
    predict.add_argument(
        "--invalid", choices=("refuse", "mark"), default="refuse", help="rows that do not fit"
    )
    predict.add_argument("--log", action="store_true", help="have the monitor watch them as well")
    predict.set_defaults(command=_predict)

    edge = commands.add_parser("edge", help="models for machines with onnxruntime and NumPy only")
    verbs = edge.add_subparsers(metavar="VERB", required=True)
    export = verbs.add_parser("export", parents=[common], help="write a signed bundle")
    export.add_argument("ref", help="NAME@VERSION or NAME@ALIAS")
    export.add_argument("--output", type=Path, help="a new folder, or a .tar file")
    export.set_defaults(command=_export)


def _predict(context: Context, given: argparse.Namespace) -> int:
    from tidemill.cli.scoring import score_files
    from tidemill.models.runtime.opening import Surroundings
    from tidemill.sdk.session import open_session

    ref = given.model if "@" in given.model else f"{given.model}@champion"
    with open_session(context.home) as session:
        version = session.ask("version", ref=ref)
        bundle = Path(session.ask("bundle", ref=ref))
        how = session.ask("runtime", ref=ref)
        home = session.home
    report = score_files(
        given.input,
        given.output,
        bundle,
        version=version,
        home=home if given.log else None,
        surroundings=Surroundings(
            environments=home / "environments", limits=how.limits, trust=how.trust, keys=how.keys
        ),
        threads=given.threads,
        keep=given.keep,
        invalid=given.invalid,
    )
    if not context.output.data(report):
        speed = f"{report.rows_per_second:,.0f} rows a second"
        marked = f", {report.invalid:,} marked" if report.invalid else ""
        context.output.say(f"{report.rows:,} rows in {report.seconds:.1f} s ({speed}){marked}")
        context.output.write(report.output)
    return 0


def _export(context: Context, given: argparse.Namespace) -> int:
    from tidemill.models.signing import Provenance, Signer
    from tidemill.sdk.session import open_session
    from tidemill.serving.edge.exporting import export

    with open_session(context.home) as session:
        version = session.ask("version", ref=given.ref)
        bundle = Path(session.ask("bundle", ref=given.ref))
        home = session.home
    output = given.output or Path(f"{version.model}-{version.version}.tar")
    signer = Signer.open(home / "keys" / "signing.pem")
    provenance = Provenance(
        model=version.model,
        version=version.version,
        run=version.run_id,
        datasets=(version.dataset,) if version.dataset else (),
    )
    written = export(bundle, output, signer=signer, provenance=provenance)
    if not context.output.data(written):
        context.output.write(str(output))
        context.output.say(f"Signed; who receives it verifies with the key {signer.public.key}")
    return 0
