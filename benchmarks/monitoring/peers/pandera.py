"""pandera: the rules of Tidemill's contract over a Parquet file, by pandas or by Polars."""

import json
import resource
import sys
import time

# A script's own folder is first on the path, where this file has the library's name.
sys.path.pop(0)
import pandas as pd
import pandera.pandas
import pandera.polars
import polars as pl

path, way = sys.argv[1:3]
library = pandera.pandas if way == "pandas" else pandera.polars
columns = {}
for name, dtype in pl.read_parquet_schema(path).items():
    if dtype.is_float():
        bounds = library.Check.in_range(-1e9, 1e9)
        columns[name] = library.Column(float, bounds, nullable=True)
    elif dtype.is_integer():
        columns[name] = library.Column(int, library.Check.in_range(0, 10**6))
    else:
        columns[name] = library.Column(str)
schema = library.DataFrameSchema(columns)
frame = (pd if way == "pandas" else pl).read_parquet(path)
start = time.perf_counter()
schema.validate(frame, lazy=True)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
sys.stdout.write(json.dumps({"seconds": seconds, "megabytes": peak}))
