"""Looks for damage in the log: what was set aside, and, if asked, every byte that is kept."""

from __future__ import annotations

from pathlib import Path

import msgspec

from tidemill.predictions.frames import Damaged, scan
from tidemill.predictions.segments import aside_folder, endpoints, files_of, held_still


class Scrubbed(msgspec.Struct, frozen=True, kw_only=True):
    """What was found.

    Attributes:
        files: How many segments and Parquet files there are.
        bytes: Of them together.
        damaged: Those that cannot be read, or have damaged stretches; of all only where every
            byte was read.
        aside: Stretches that were set aside, whose records are lost.
    """

    files: int = 0
    bytes: int = 0
    damaged: tuple[str, ...] = ()
    aside: int = 0


def examine(root: Path, *, deep: bool) -> Scrubbed:
    """Look at a log.

    Args:
        root: The root of the letterbox.
        deep: Whether every byte is read.
    """
    files, size, aside = 0, 0, 0
    damaged: list[str] = []
    for endpoint in endpoints(root):
        aside += len(list(aside_folder(root, endpoint).glob("*.bad")))
        with held_still(root, endpoint):
            for path in files_of(root, endpoint):
                if path.suffix == ".json":
                    continue
                files += 1
                size += path.stat().st_size
                if deep and not _is_whole(path):
                    damaged.append(path.relative_to(root).as_posix())
    return Scrubbed(files=files, bytes=size, damaged=tuple(damaged), aside=aside)


def _is_whole(path: Path) -> bool:
    if path.suffix == ".log":
        return not any(isinstance(found, Damaged) for found in scan(path))
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        pq.read_table(path, page_checksum_verification=True)
    except (pa.ArrowException, OSError):
        return False
    return True
