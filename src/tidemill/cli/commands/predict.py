"""`predict`, `edge`: models at work away from an endpoint."""

from __future__ import annotations

import argparse
from typing import Any


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the commands of this group."""
