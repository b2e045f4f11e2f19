"""TensorFlow Data Validation: statistics of two Parquet files, and drift by a schema's limits."""

import json
import logging
import os
import resource
import sys
import time
import warnings

import pandas as pd

# A script's own folder is first on the path, where files have the names of libraries.
sys.path.pop(0)
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
warnings.simplefilter("ignore")
logging.disable(50)
import tensorflow_data_validation as tfdv  # noqa: E402

LIMIT = 0.1
"""There is no default; this is Evidently's and Azure's for the same distance."""

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
start = time.perf_counter()
# One job: with one a core it took twice as long, since each starts TensorFlow anew.
usual, now = (tfdv.generate_statistics_from_dataframe(frame) for frame in (reference, current))
schema = tfdv.infer_schema(usual)
for name, dtype in reference.dtypes.items():
    comparator = tfdv.get_feature(schema, name).drift_comparator
    if dtype.kind == "f":
        comparator.jensen_shannon_divergence.threshold = LIMIT
    elif dtype.kind == "O":
        comparator.infinity_norm.threshold = LIMIT
tfdv.validate_statistics(now, schema, previous_statistics=usual)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": peak}))
