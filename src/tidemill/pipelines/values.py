"""How a step's value travels to the next step: as blobs, named by what is in them."""

from __future__ import annotations

import importlib
import io
import secrets
from pathlib import Path
from typing import Any

import msgspec
import polars as pl

from tidemill.pipelines.errors import BadValue
from tidemill.pipelines.records import Stored
from tidemill.storage.blobs.protocol import BlobStore
from tidemill.storage.blobs.trees import get_tree, put_tree

_NOT_AS_JSON = (
    msgspec.MsgspecError,
    AttributeError,
    ImportError,
    NotImplementedError,
    OverflowError,
    TypeError,
    ValueError,
)
"""What writing a value as JSON, or finding its type again, may end with."""


class _Typed(msgspec.Struct):
    type: str
    value: msgspec.Raw


def store_value(blobs: BlobStore, value: Any) -> Stored:
    """Store a value.

    Args:
        blobs: Where to.
        value: A Polars frame, a folder's path, a record or plain JSON value, a tuple of these, or
            any other object that can be pickled (a fitted model, say).

    Raises:
        BadValue: It cannot be pickled.
    """
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return Stored("tuple", items=tuple(store_value(blobs, v) for v in value))
    if isinstance(value, pl.DataFrame):
        buffer = io.BytesIO()
        value.write_parquet(buffer, compression="lz4")
        return Stored("frame", blobs.put(buffer.getvalue()).digest)
    if isinstance(value, Path) and value.is_dir():
        return Stored("folder", put_tree(blobs, value).digest)
    record = _typed(value) if isinstance(value, msgspec.Struct) or _is_plain(value) else None
    if record is not None:
        return Stored("json", blobs.put(msgspec.json.encode(record)).digest)
    return Stored("object", blobs.put(_pickled(value)).digest)


def load_value(blobs: BlobStore, stored: Stored, scratch: Path) -> Any:
    """Return a stored value.

    Args:
        blobs: Where it lies.
        stored: Which.
        scratch: Where folders are written out to.
    """
    if stored.kind == "tuple":
        return tuple(load_value(blobs, item, scratch) for item in stored.items)
    if stored.kind == "folder":
        folder = scratch / f"{stored.digest[:16]}-{secrets.token_hex(4)}"
        get_tree(blobs, stored.digest, folder)
        return folder
    if stored.kind == "frame":
        return pl.read_parquet(blobs.locate(stored.digest))
    if stored.kind == "json":
        record = msgspec.json.decode(blobs.read(stored.digest), type=_Typed)
        return msgspec.json.decode(record.value, type=_resolve(record.type))
    import cloudpickle

    return cloudpickle.loads(blobs.read(stored.digest))


def _typed(value: Any) -> _Typed | None:
    """Return a value as JSON with its type, or nothing where that would not bring it back.

    JSON has no number that is not finite, and a field that may hold anything forgets what it held.
    """
    kind = type(value)
    name = f"{kind.__module__}:{kind.__qualname__}"
    try:
        content = msgspec.json.encode(value, order="sorted")
        same = msgspec.json.decode(content, type=_resolve(name)) == value
    except _NOT_AS_JSON:
        return None
    return _Typed(name, msgspec.Raw(content)) if same else None


def _is_plain(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(k) is str and _is_plain(v) for k, v in value.items())
    if kind is list:
        return all(map(_is_plain, value))
    return value is None or kind in {bool, int, float, str}


def _pickled(value: Any) -> bytes:
    import cloudpickle

    try:
        content: bytes = cloudpickle.dumps(value)
    except Exception as error:
        raise BadValue(
            f"A {type(value).__name__} cannot be handed to another step: {error}",
            expected="a frame, a record, a folder, or an object that can be pickled",
        ) from error
    return content


def _resolve(name: str) -> Any:
    if name == "builtins:NoneType":  # a type that no module has under its name
        return type(None)
    module, _, qualified = name.partition(":")
    found: Any = importlib.import_module(module)
    for part in qualified.split("."):
        found = getattr(found, part)
    return found
