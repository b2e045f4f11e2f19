"""The one list of operations that HTTP, the client and the command line share.

A subject is one file beside this one; adding one is adding its class here. An operation takes plain
values and returns records. Those marked `@changes` need POST; all others only read.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec

from tidemill.core.errors import nearest
from tidemill.server.operations.alerts import Telling
from tidemill.server.operations.backtests import Backtests
from tidemill.server.operations.data import Data
from tidemill.server.operations.endpoints import Endpoints
from tidemill.server.operations.errors import BadArgument, UnknownOperation
from tidemill.server.operations.evidence import Evidence
from tidemill.server.operations.letterbox import Letterbox
from tidemill.server.operations.loop import Loop
from tidemill.server.operations.models import Models
from tidemill.server.operations.overview import Overview
from tidemill.server.operations.runs import Runs
from tidemill.server.operations.watching import Watching
from tidemill.server.operations.webhooks import Webhooks


class Operations(
    Overview,
    Data,
    Runs,
    Models,
    Endpoints,
    Backtests,
    Evidence,
    Watching,
    Telling,
    Letterbox,
    Loop,
    Webhooks,
):
    """Whatever can be asked of an opened home from outside."""


def call(operations: Operations, name: str, arguments: Mapping[str, Any], *, post: bool) -> Any:
    """Call an operation by its name, its arguments checked and converted.

    Raises:
        UnknownOperation: There is none of that name.
        BadArgument: An argument is missing, unknown, or has the wrong type.
        TidemillError: Whatever the operation raises.
    """
    method = None if name.startswith("_") else getattr(Operations, name, None)
    if method is None or not inspect.isfunction(method):
        raise UnknownOperation(
            f"There is no operation {name!r}.", expected=nearest(name, operation_names())
        )
    if changing(name) and not post:
        raise BadArgument(f"The operation {name!r} changes something.", expected="POST")
    hints = inspect.get_annotations(method, eval_str=True)
    hints.pop("return", None)
    for key in arguments:
        if key not in hints:
            raise BadArgument(
                f"The operation {name!r} takes no argument {key!r}.", expected=nearest(key, hints)
            )
    converted = {}
    for key, value in arguments.items():
        try:
            converted[key] = msgspec.convert(value, hints[key], strict=False)
        except msgspec.ValidationError as error:
            raise BadArgument(f"The argument {key!r} of {name!r} is {value!r}: {error}.") from error
    try:
        inspect.signature(method).bind(operations, **converted)
    except TypeError as error:
        raise BadArgument(f"The operation {name!r}: {error}.") from error
    return method(operations, **converted)


def operation_names() -> list[str]:
    """Return the names of all operations."""
    found = inspect.getmembers(Operations, inspect.isfunction)
    return [name for name, _ in found if not name.startswith("_")]


def changing(name: str) -> bool:
    """Tell whether an operation changes something."""
    return bool(getattr(getattr(Operations, name), "__tidemill_changes__", False))


def result_type(name: str) -> Any:
    """Return the type of what an operation returns."""
    return inspect.get_annotations(getattr(Operations, name), eval_str=True)["return"]
