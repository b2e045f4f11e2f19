"""Runs a worker: `python -m tidemill.serving.worker --help` says how."""

from tidemill.serving.worker.process import main

main()
