"""`predictions`, `labels`: the prediction log."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.cli.output import size

if TYPE_CHECKING:
    from tidemill.cli.entry import Context

_FOLLOW_SECONDS = 1.0


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
    group = commands.add_parser("predictions", help="the prediction log: list, show, export, stats")
    verbs = group.add_subparsers(metavar="VERB", required=True)
    for name, command, help_ in (
        ("list", _list, "the newest predictions, with their labels"),
        ("tail", _tail, "the newest predictions, and each that comes, until Ctrl-C"),
    ):
        listed = verbs.add_parser(name, parents=[common], help=help_)
        listed.add_argument("endpoint", nargs="?", help="whose (default: the only one's)")
        listed.add_argument("--limit", type=int, default=20, help="how many (default: 20)")
        listed.set_defaults(command=command)
        if name == "list":
            _stretch(listed)
    show = verbs.add_parser("show", parents=[common], help="one, with all labels it was told of")
    show.add_argument("id")
    show.set_defaults(command=_show)
    export = verbs.add_parser("export", parents=[common], help="write a stretch, labels joined")
    export.add_argument("endpoint", nargs="?", help="whose (default: the only one's)")
    export.add_argument("--to", required=True, type=Path, metavar="FILE", help=".parquet or .csv")
    _stretch(export)
    export.set_defaults(command=_export)
    compact = verbs.add_parser("compact", parents=[common], help="turn segments into Parquet now")
    compact.add_argument("endpoint", nargs="?", help="whose (default: all)")
    compact.set_defaults(command=_compact)
    stats = verbs.add_parser("stats", parents=[common], help="what the log holds")
    stats.add_argument("endpoint", nargs="?", help="whose (default: all)")
    stats.set_defaults(command=_stats)

    labels = commands.add_parser("labels", help="what came true: add")
    verbs = labels.add_subparsers(metavar="VERB", required=True)
    add = verbs.add_parser("add", parents=[common], help="tell what came true, from a file")
    add.add_argument("file", type=Path, help="CSV or Parquet: label, prediction_id or key, time")
    add.add_argument("--endpoint", help="whose predictions (default: the only one's)")
    add.set_defaults(command=_add)


def _stretch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", help="a day or a moment, UTC")
    parser.add_argument("--until", help="the same, exclusive")


def _list(context: Context, given: argparse.Namespace) -> int:
    frame = _newest(context, given.endpoint, given.limit, given.since, given.until)
    if not context.output.data(frame.to_dicts()):
        _table(context, frame)
    return 0


def _tail(context: Context, given: argparse.Namespace) -> int:
    seen: set[str] = set()
    while True:
        frame = _newest(context, given.endpoint, given.limit, None, None)
        fresh = frame.filter(~frame["id"].is_in(list(seen)))
        if fresh.height and not context.output.data(fresh.to_dicts()):
            _table(context, fresh)
        seen = set(frame["id"])
        time.sleep(_FOLLOW_SECONDS)


def _newest(
    context: Context, endpoint: str | None, limit: int, since: str | None, until: str | None
) -> Any:
    from tidemill.sdk.letterbox import read_predictions

    rows = read_predictions(endpoint, since=since, until=until, labels=True, home=context.home)
    return rows.sort("time", "id").tail(limit).collect()


def _table(context: Context, frame: Any) -> None:
    names = ("time", "id", "version", "role", "status", "prediction", "score", "label", "key")
    context.output.table(names, frame.select(names).rows())


def _show(context: Context, given: argparse.Namespace) -> int:
    from tidemill.core.clock import from_micros
    from tidemill.predictions.finding import find_prediction
    from tidemill.predictions.joining import history
    from tidemill.predictions.reading import read_all_labels
    from tidemill.sdk.letterbox import log_folder

    root = log_folder(context.home)
    found = find_prediction(root, given.id)
    record, row = found.record, found.row
    key = record.keys[row] if record.keys else None
    told = history(read_all_labels(root, found.endpoint), found.id, key)
    shown: dict[str, Any] = {
        "id": found.id,
        "endpoint": found.endpoint,
        "time": from_micros(record.time),
        "model": f"{record.model}@{record.version}",
        "role": record.role,
        "status": record.status,
        "request": record.request_id,
        "key": key,
        "latency_us": record.latency_us,
        "weight": record.weight,
        "prediction": record.predictions[row] if record.predictions else None,
        "score": record.scores[row] if record.scores else None,
        "features": found.features,
        "labels": told.select("label", "time", "arrival", "prediction_id", "key").to_dicts(),
    }
    if not context.output.data(shown):
        labels = shown.pop("labels")
        rows = [*shown.items(), *(("label", f"{t['label']}, told {t['arrival']}") for t in labels)]
        context.output.table(("", ""), rows)
    return 0


def _export(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.letterbox import BadFile, read_predictions

    ending = given.to.suffix.lower()
    if ending not in (".parquet", ".csv"):
        raise BadFile(f"{given.to} ends in {ending!r}.", expected=".parquet or .csv")
    rows = read_predictions(
        given.endpoint, since=given.since, until=given.until, labels=True, home=context.home
    ).sort("time", "id")
    if ending == ".parquet":
        rows.sink_parquet(given.to, compression="zstd")
    else:
        import polars as pl

        lists = pl.col("scores").cast(pl.List(pl.String)).list.join(" ")
        rows.with_columns(lists).sink_csv(given.to)
    count = _counted(given.to)
    if not context.output.data({"file": str(given.to), "rows": count}):
        context.output.say(f"{count:,} predictions")
        context.output.write(str(given.to))
    return 0


def _counted(path: Path) -> int:
    import polars as pl

    found = pl.scan_parquet(path) if path.suffix == ".parquet" else pl.scan_csv(path)
    return int(found.select(pl.len()).collect().item())


def _compact(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        done = session.ask("compact_log", endpoint=given.endpoint)
    if not context.output.data(done):
        names = ("endpoint", "kind", "segments", "rows", "files", "before", "after", "damaged")
        context.output.table(
            names,
            [
                (
                    d.endpoint,
                    d.kind,
                    d.segments,
                    f"{d.rows:,}",
                    d.files,
                    size(d.bytes_before),
                    size(d.bytes_after),
                    len(d.aside),
                )
                for d in done
            ],
        )
    return 0


def _stats(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.session import open_session

    with open_session(context.home) as session:
        found = session.ask("log_stats", endpoint=given.endpoint)
    if context.output.data(found):
        return 0
    for s in found:
        rows = [
            ("endpoint", s.endpoint),
            ("predictions", f"{s.predictions:,}"),
            ("stand for", f"{s.estimated:,.0f}"),
            ("errors", f"{s.errors:,}"),
            ("since", s.since),
            ("until", s.until),
            ("labels told", f"{s.labels:,}"),
            ("labelled", f"{s.labelled:,}"),
            ("told more than once", f"{s.corrected:,}"),
            ("labels without prediction", f"{s.unmatched:,} {' '.join(s.examples)}".strip()),
            ("segments", f"{s.segments:,}, {size(s.segment_bytes)}"),
            ("Parquet files", f"{s.files:,}, {size(s.file_bytes)}"),
            ("damaged stretches", f"{s.aside:,}"),
        ]
        context.output.table(("", ""), rows)
    return 0


def _add(context: Context, given: argparse.Namespace) -> int:
    from tidemill.sdk.letterbox import log_labels

    done = log_labels(given.file, given.endpoint, home=context.home)
    if not context.output.data(done):
        context.output.say(f"{done.accepted:,} labels were taken.")
        if done.contradictory:
            context.output.say(
                f"{done.contradictory:,} predictions are told of twice and differently, such as "
                f"{', '.join(done.examples)}; the last label counts."
            )
    return 0
