"""Great Expectations: the rules of Tidemill's contract over a Parquet file."""

import json
import logging
import os
import resource
import sys
import time
import warnings

import pandas as pd

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
warnings.simplefilter("ignore")
logging.disable(50)
os.environ["GX_ANALYTICS_ENABLED"] = "false"
os.environ["TQDM_DISABLE"] = "1"
import great_expectations as gx  # noqa: E402

rules = gx.expectations
frame = pd.read_parquet(sys.argv[1])
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
asset = context.data_sources.add_pandas("files").add_dataframe_asset("rows")
batch = asset.add_batch_definition_whole_dataframe("all")
suite = gx.ExpectationSuite(name="contract")
for name, dtype in frame.dtypes.items():
    if dtype.kind == "f":
        suite.add_expectation(
            rules.ExpectColumnValuesToBeBetween(column=name, min_value=-1e9, max_value=1e9)
        )
        continue
    suite.add_expectation(rules.ExpectColumnValuesToNotBeNull(column=name))
    if dtype.kind == "i":
        suite.add_expectation(
            rules.ExpectColumnValuesToBeBetween(column=name, min_value=0, max_value=10**6)
        )
whole = batch.get_batch({"dataframe": frame})
start = time.perf_counter()
assert whole.validate(suite).success
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": peak}))
