"""Where the command line begins."""

from __future__ import annotations

import argparse

from tidemill import __version__


def main() -> None:
    """Read the command line and do what it says."""
    parser = argparse.ArgumentParser(prog="tidemill")
    parser.add_argument("--version", action="version", version=f"tidemill {__version__}")
    parser.parse_args()
