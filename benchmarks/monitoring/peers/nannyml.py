"""NannyML's `UnivariateDriftCalculator` over two Parquet files."""

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
from nannyml import UnivariateDriftCalculator  # noqa: E402

reference, current = (pd.read_parquet(path) for path in sys.argv[1:3])
start = time.perf_counter()
calculator = UnivariateDriftCalculator(column_names=list(reference.columns))
calculator.fit(reference)
calculator.calculate(current).to_df()
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": peak}))
