"""alibi-detect's `TabularDrift` over two Parquet files; names are made numbers beforehand."""

import json
import logging
import resource
import sys
import time
import warnings

import numpy as np
import pandas as pd

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
warnings.simplefilter("ignore")
logging.disable(50)
from alibi_detect.cd import TabularDrift  # noqa: E402

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
named = {i: None for i, c in enumerate(reference) if not np.issubdtype(reference[c].dtype, "f")}
usual, now = (frame.astype(float).to_numpy() for frame in (reference, current))
start = time.perf_counter()
detector = TabularDrift(usual, categories_per_feature=named)
detector.predict(now, drift_type="feature")
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": peak}))
