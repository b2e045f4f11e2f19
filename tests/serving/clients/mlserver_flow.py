"""What MLServer's codecs and its `mlserver infer` do, in their own environment: PORT GRPC_PORT."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import numpy as np
import pandas as pd
from mlserver.codecs import NumpyCodec, NumpyRequestCodec, PandasCodec, StringCodec
from mlserver.types import (
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RepositoryIndexResponse,
)

URL = f"http://127.0.0.1:{sys.argv[1]}"
FRAME = pd.DataFrame({"a": [0.5, -1.0], "b": [1.0, 2.0], "c": [3, 4]})


def ask(path: str, body: str | None = None) -> str:
    method = "GET" if body is None else "POST"
    headers = {"Content-Type": "application/json"}
    data = None if body is None else body.encode()
    with urlopen(Request(URL + path, data, headers, method=method)) as answer:
        return str(answer.read().decode())


def infer(request: InferenceRequest, name: str = "e") -> InferenceResponse:
    said = ask(f"/v2/models/{name}/infer", request.model_dump_json())
    return InferenceResponse.model_validate_json(said)


def codecs() -> None:
    by_columns = infer(PandasCodec.encode_request(FRAME))
    by_matrix = infer(NumpyRequestCodec.encode_request(FRAME.to_numpy()))
    found = [NumpyCodec.decode_output(r.outputs[1]) for r in (by_columns, by_matrix)]
    assert found[0].shape == (2, 2)
    assert (found[0] == found[1]).all()
    words = pd.DataFrame({"carrier": ["AA", "DL"], "x": [0.1, 0.2]})
    answer = infer(PandasCodec.encode_request(words, use_bytes=False), "words")
    assert NumpyCodec.decode_output(answer.outputs[0]).ravel().tolist() == [True, False]
    texts = infer(
        InferenceRequest(
            inputs=[
                NumpyCodec.encode_input("new", np.array([True, False])),
                StringCodec.encode_input("place", ["Bern", "Zürich"], use_bytes=False),
                StringCodec.encode_input("at", ["2013-02-01T06:30:00Z"] * 2, use_bytes=False),
            ]
        ),
        "mixed",
    )
    assert StringCodec.decode_output(texts.outputs[0]) == ["early", "late"]


def metadata() -> None:
    assert MetadataServerResponse.model_validate_json(ask("/v2")).name == "tidemill"
    model = MetadataModelResponse.model_validate_json(ask("/v2/models/e"))
    assert [tensor.name for tensor in model.inputs or []] == ["a", "b", "c"]
    index = RepositoryIndexResponse.model_validate_json(ask("/v2/repository/index", "{}"))
    assert {entry.name for entry in index} == {"e", "words", "mixed"}


def mistakes() -> None:
    for frame, word in (
        (FRAME.assign(b=["x", "y"]), "'b'"),
        (FRAME.rename(columns={"a": "z"}), "'a'"),
        (FRAME[:0], "no rows"),
    ):
        try:
            answer = infer(PandasCodec.encode_request(frame))
        except HTTPError as error:
            said = json.loads(error.read())["error"]
            assert (error.code, word in said) == (400, True), said
        else:
            raise AssertionError(answer)


def command(folder: Path) -> None:
    """Run `mlserver infer`, which sends a file of requests."""
    asked, told = folder / "asked.jsonl", folder / "told.jsonl"
    line = PandasCodec.encode_request(FRAME).model_dump_json(exclude_none=True) + "\n"
    asked.write_text(line * 5)
    tool = str(Path(sys.executable).with_name("mlserver"))
    address = URL.removeprefix("http://")
    done = subprocess.run(
        [tool, "infer", "-u", address, "-m", "e", "-i", str(asked), "-o", str(told)],
        check=False,
        capture_output=True,
        text=True,
        timeout=150,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    answers: list[dict[str, Any]] = [json.loads(line) for line in told.read_text().splitlines()]
    assert len(answers) == 5, answers
    for answer in answers:
        names = [output["name"] for output in answer["outputs"]]
        assert names == ["label", "probabilities"], answer


codecs()
metadata()
mistakes()
command(Path.cwd())
print("all done")
