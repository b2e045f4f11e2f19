"""What a version gives, as the Open Inference Protocol has it: told of it, and written for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from tidemill.models.records import Signature

_ENCODER = msgspec.json.Encoder()


class Output(msgspec.Struct, frozen=True):
    """An output before it is written.

    Attributes:
        name: `label`, `probabilities` or `prediction`.
        datatype: What its values are.
        width: How many values a row has; 0 for one that is no list.
    """

    name: str
    datatype: str
    width: int = 0

    @property
    def shape(self) -> list[int]:
        """Its shape in the metadata."""
        return [-1, self.width] if self.width else [-1]


def outputs_of(signature: Signature) -> tuple[Output, ...]:
    """Return what a model gives."""
    if signature.task == "regression":
        return (Output("prediction", "FP64"),)
    return (
        Output("label", _label_type(signature)),
        Output("probabilities", "FP64", len(signature.classes)),
    )


def _label_type(signature: Signature) -> str:
    kinds = {type(c) for c in signature.classes}
    if kinds == {bool}:
        return "BOOL"
    return "INT64" if kinds == {int} else "BYTES"


class Frame:
    """The JSON of a version's answers, written up to what changes from one to the next.

    Args:
        outputs: What the version gives.
        number: Its number.
    """

    def __init__(self, outputs: Sequence[Output], number: int) -> None:
        text = b",".join(_tensor(output) for output in outputs)
        self._text = (
            b'{"model_name":%b,"model_version":"'
            + str(number).encode()
            + b'","outputs":['
            + text
            + b'],"parameters":{"prediction_ids":"%b"}%b}'
        )

    def filled(
        self,
        name: bytes,
        rows: int,
        data: Sequence[Any],
        ids: str,
        identifier: str | None,
    ) -> bytes:
        """Return an answer.

        Args:
            name: The endpoint's name, in JSON.
            rows: How many rows it has.
            data: The values of each output, flat.
            ids: The predictions' ids, with commas between.
            identifier: The caller's name for the request.
        """
        encode = _ENCODER.encode
        last = b"" if identifier is None else b',"id":' + encode(identifier)
        written = [part for values in data for part in (rows, encode(values))]
        return self._text % (name, *written, ids.encode(), last)


def _tensor(output: Output) -> bytes:
    """Return an output with places for its rows and its data."""
    width = f",{output.width}" if output.width else ""
    name, datatype = _ENCODER.encode(output.name).decode(), output.datatype
    text = f'{{"name":{name},"datatype":"{datatype}","shape":[%d{width}],"data":%b}}'
    return text.encode()
