"""Profiles of whylogs and their drift scores over two Parquet files."""

import json
import logging
import resource
import sys
import time
import warnings

import pandas as pd

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
warnings.simplefilter("ignore")
logging.disable(50)
import whylogs  # noqa: E402
from whylogs.viz.drift.column_drift_algorithms import calculate_drift_scores  # noqa: E402

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
start = time.perf_counter()
views = [whylogs.log(frame).view() for frame in (reference, current)]
calculate_drift_scores(target_view=views[1], reference_view=views[0], with_thresholds=True)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": peak}))
