"""What KServe's own Python client does, in its own environment: PORT GRPC_PORT."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import numpy as np
from kserve import InferenceGRPCClient, InferenceRESTClient, InferInput, InferRequest
from kserve.inference_client import RESTConfig

COLUMNS = {"a": np.array([0.5, -1.0]), "b": np.array([1.0, 2.0]), "c": np.array([3, 4])}
TYPES = {"a": "FP64", "b": "FP64", "c": "INT64"}


def request(binary: bool, name: str = "e", **change: Any) -> InferRequest:
    inputs = []
    for column, values in (COLUMNS | change).items():
        tensor = InferInput(column, list(values.shape), TYPES[column])
        tensor.set_data_from_numpy(values, binary_data=binary)
        inputs.append(tensor)
    return InferRequest(model_name=name, infer_inputs=inputs, request_id="mine")


async def second(url: str) -> list[float]:
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=1))
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, "e")
    assert not await client.is_model_ready(url, "nobody")
    found: list[list[float]] = []
    for binary in (True, False):
        answer = await client.infer(url, request(binary), model_name="e")
        assert answer.id == "mine"
        assert answer.model_name == "e"
        label, probabilities = answer.outputs
        assert label.as_numpy().dtype == bool
        assert probabilities.as_numpy().shape == (2, 2)
        found.append(probabilities.as_numpy().ravel().tolist())
    assert found[0] == found[1]
    await refused(client.infer(url, request(False, c=np.array([3])), model_name="e"), "400", "'a'")
    await refused(client.infer(url, request(False), model_name="nobody"), "404", "nobody")
    await client.close()
    return found[0]


async def first(url: str) -> None:
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=1))
    assert await client.is_server_live(url)
    assert await client.is_model_ready(url, "e")
    rows = np.stack(list(COLUMNS.values()), axis=1).tolist()
    answer = await client.infer(url, {"instances": rows}, model_name="e")
    assert len(answer["predictions"]) == 2
    named = [dict(zip(COLUMNS, row, strict=True)) for row in rows]
    assert await client.infer(url, {"instances": named}, model_name="e") == answer
    await refused(client.infer(url, {"instances": [[1, 2]]}, model_name="e"), "400", "Row 0")
    await client.close()


async def rpc(address: str, expected: list[float]) -> None:
    client = InferenceGRPCClient(address)
    assert await client.is_server_live()
    assert await client.is_server_ready()
    assert await client.is_model_ready("e")
    for binary in (True, False):
        answer = await client.infer(request(binary))
        assert answer.outputs[1].as_numpy().ravel().tolist() == expected
    await refused(client.infer(request(True, name="nobody")), "NOT_FOUND", "nobody")
    await refused(client.infer(request(True, c=np.array([3]))), "INVALID_ARGUMENT", "'a'")
    await client.close()


async def refused(call: Any, *words: str) -> None:
    try:
        answer = await call
    except Exception as error:
        said = f"{error!r} {getattr(getattr(error, 'response', None), 'text', '')}"
        assert all(word in said for word in words), said
    else:
        raise AssertionError(answer)


async def main() -> None:
    url = f"http://127.0.0.1:{sys.argv[1]}"
    expected = await second(url)
    await first(url)
    await rpc(f"127.0.0.1:{sys.argv[2]}", expected)


asyncio.run(main())
print("all done")
