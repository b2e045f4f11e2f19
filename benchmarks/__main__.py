"""Runs benchmarks by name, start-up without one: `python -m benchmarks serving tracking`."""

from __future__ import annotations

import runpy
import sys

for name in sys.argv[1:] or ["startup"]:
    runpy.run_module(f"benchmarks.{name}", run_name="__main__")
