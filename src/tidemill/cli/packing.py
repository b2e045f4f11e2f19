"""Packs a version that MLflow's client registered, and says what came of it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.cli.following import follow
from tidemill.sdk.session import Session

if TYPE_CHECKING:
    from tidemill.cli.entry import Context


def pack(context: Context, session: Session, ref: str, rows: Path | None) -> Any:
    """Wait until a version has its bundle, and return it."""
    file = None if rows is None else str(rows.absolute())
    job = follow(session, session.ask("pack", ref=ref, rows=file), context.output)
    manifest = session.ask("manifest", ref=ref)
    said = (
        f"its ONNX twin answers, verified on {manifest.twin.parity.rows:,} rows"
        if manifest.twin
        else f"it answers from processes of its own, since {manifest.no_twin}"
    )
    context.output.say(f"{job.version.ref} is packed: {said}")
    return job.version
