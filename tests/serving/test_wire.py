"""Messages written by hand are those that protobuf reads; ones known by their beginning, too."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tidemill.serving.worker.doors.oip_messages import build
from tidemill.serving.worker.doors.tensors import write_binary
from tidemill.serving.worker.outputs import Output
from tidemill.serving.worker.wire import Wire, field_head

MESSAGES = build()
OUTPUTS = (Output("label", "BYTES"), Output("probabilities", "FP64", 300))


@given(
    endpoint=st.text(min_size=1, max_size=200),
    rows=st.integers(1, 400),
    identifier=st.text(max_size=200),
    chosen=st.sampled_from([OUTPUTS, OUTPUTS[:1], OUTPUTS[1:]]),
)
def test_an_answer_is_what_protobuf_reads(
    endpoint: str, rows: int, identifier: str, chosen: tuple[Output, ...]
) -> None:
    ids = [f"{row:032x}" for row in range(rows)]
    contents = [bytes(row % 251 for row in range(rows * 3)) for _ in chosen]
    written = Wire(OUTPUTS, 17).written(
        endpoint, rows, ",".join(ids), contents, outputs=chosen, identifier=identifier
    )
    found: Any = MESSAGES["ModelInferResponse"].FromString(written)
    assert (found.model_name, found.model_version, found.id) == (endpoint, "17", identifier)
    assert found.parameters["prediction_ids"].string_param == ",".join(ids)
    assert [(o.name, o.datatype, list(o.shape)) for o in found.outputs] == [
        (o.name, o.datatype, [rows, *o.shape[1:]]) for o in chosen
    ]
    assert list(found.raw_output_contents) == contents


@given(st.binary(max_size=40_000))
def test_what_stands_before_a_field_is_what_protobuf_writes(content: bytes) -> None:
    message = MESSAGES["ModelInferRequest"](raw_input_contents=[content]).SerializeToString()
    assert message == field_head(7, len(content)) + content


@pytest.mark.parametrize(
    ("datatype", "values", "form"),
    [
        ("BOOL", [True, False], "<2?"),
        ("INT64", [-(2**63), 2**63 - 1], "<2q"),
        ("FP64", [0.1, float("inf"), 3], "<3d"),
    ],
)
def test_few_values_are_packed_as_many_are(datatype: str, values: list[Any], form: str) -> None:
    assert write_binary(values, datatype) == struct.pack(form, *values)
    assert write_binary(values * 100, datatype) == struct.pack(form, *values) * 100
