"""The compactor's process: compacts what is due and says what it did, a line of JSON a unit."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import msgspec

from tidemill.core.clock import SystemClock
from tidemill.core.errors import TidemillError
from tidemill.predictions.compaction import compact
from tidemill.predictions.segments import KINDS, endpoints

_NICE = 10


def main(arguments: list[str] | None = None) -> int:
    """Run the compactor from its command line."""
    parser = argparse.ArgumentParser("tidemill.predictions", description=__doc__)
    parser.add_argument("root", type=Path, help="the root of the prediction log")
    parser.add_argument("--endpoint", help="only this one")
    parser.add_argument("--due", action="store_true", help="only what is worth a file by now")
    given = parser.parse_args(arguments)
    # Predictions come first on a busy machine.
    os.nice(_NICE)
    now = SystemClock().now().timestamp() if given.due else None
    failed = False
    for endpoint in [given.endpoint] if given.endpoint else endpoints(given.root):
        for kind in KINDS:
            try:
                for done in compact(given.root, endpoint, kind, now=now):
                    sys.stdout.write(msgspec.json.encode(done).decode() + "\n")
                    sys.stdout.flush()
            except (TidemillError, OSError) as error:
                failed = True
                sys.stderr.write(f"{endpoint}, {kind}: {error}\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
