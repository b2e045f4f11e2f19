"""Which kind of source a text names. A reader is imported when it is needed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tidemill.exchange.errors import SourceNotFound
from tidemill.exchange.mlflow.protocol import Source

_SQLITE = "sqlite:///"


def open_source(what: str, *, artifacts: Sequence[Path] = ()) -> Source:
    """Open a database file, a folder, or a server.

    Args:
        what: A path, a `sqlite:///` URI, or an address that begins with `http`.
        artifacts: Folders that artifacts may be read from, beside the source's own.

    Raises:
        SourceNotFound: There is nothing at that place.
        BadSource: It is nothing that MLflow keeps.
        SourceUnreachable: The server does not answer.
    """
    if what.startswith(("http://", "https://")):
        from tidemill.exchange.mlflow.server import ServerSource

        return ServerSource(what)
    path = Path(what.removeprefix(_SQLITE)).expanduser()
    if path.is_dir():
        from tidemill.exchange.mlflow.folder import FolderSource

        return FolderSource(path, artifacts=artifacts)
    if not path.exists():
        raise SourceNotFound(
            f"There is nothing at {what!r}.",
            expected="MLflow's database (mlflow.db), its folder (mlruns), or http://…",
        )
    from tidemill.exchange.mlflow.sqlite import SqliteSource

    return SqliteSource(path, artifacts=artifacts)
