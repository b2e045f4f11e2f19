"""Measurements; each writes its section of RESULTS.md."""
