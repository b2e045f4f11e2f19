"""What MLflow's own scoring client does, in its own environment: PORT."""

from __future__ import annotations

import io
import json
import sys
from typing import Any

import numpy as np
import pandas as pd
import requests
from mlflow.deployments import PredictionsResponse
from mlflow.pyfunc.scoring_server.client import ScoringServerClient

FRAME = pd.DataFrame({"a": [0.5, -1.0], "b": [1.0, 2.0], "c": [3, 4]})
URL = f"http://127.0.0.1:{sys.argv[1]}"


def labels(answer: PredictionsResponse) -> list[Any]:
    return list(answer.get_predictions()[0])


client = ScoringServerClient("127.0.0.1", sys.argv[1])
client.wait_server_ready()
assert client.get_version()
expected = labels(client.invoke(FRAME))
assert len(expected) == 2
assert labels(client.invoke(FRAME[["c", "a", "b"]])) == expected
assert labels(client.invoke(FRAME.to_numpy())) == expected
assert labels(client.invoke(FRAME.to_numpy().tolist())) == expected
assert labels(client.invoke(FRAME, params={})) == expected
missing = client.invoke(FRAME.assign(a=[np.nan, 1.0]))
assert len(labels(missing)) == 2

for body in (
    f'{{"dataframe_split": {FRAME.to_json(orient="split")}}}',
    f'{{"dataframe_records": {FRAME.to_json(orient="records")}}}',
    f'{{"instances": {FRAME.to_json(orient="records")}}}',
    f'{{"inputs": {json.dumps(FRAME.to_dict(orient="list"))}}}',
):
    headers = {"Content-Type": "application/json; charset=utf-8"}
    answer = requests.post(f"{URL}/invocations", data=body, headers=headers, timeout=20)
    assert labels(PredictionsResponse.from_json(answer.text)) == expected, answer.text

for data, word in (
    (FRAME.assign(b=["x", "y"]), "'b'"),
    (FRAME.drop(columns="c"), "'c'"),
    (FRAME[:0], "no rows"),
    (FRAME.assign(b=[1.0, np.nan]), "'b'"),
):
    try:
        client.invoke(data)
    except Exception as error:
        assert "error code 400" in str(error), error
        assert word in str(error), error
    else:
        raise AssertionError(word)

text = FRAME.to_csv(index=False)
answer = requests.post(
    f"{URL}/invocations", data=text, headers={"Content-Type": "text/csv"}, timeout=20
)
assert answer.json()["predictions"] == expected
buffer = io.BytesIO()
FRAME.to_parquet(buffer)
headers = {"Content-Type": "application/vnd.apache.parquet"}
answer = requests.post(f"{URL}/invocations", data=buffer.getvalue(), headers=headers, timeout=20)
assert answer.json()["predictions"] == expected
print("all done")
