"""Encoders of categories: strings and numbers looked up in a table, missing values among them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import numpy_helper

from tidemill.models.converters.compiler import Compiler, Converter
from tidemill.models.converters.graph import (
    ML,
    CannotConvert,
    ColumnRef,
    GraphBuilder,
    Table,
    double_tensor,
    string_tensor,
    table,
)
from tidemill.models.inputs import MISSING_TEXT


def lookup(
    graph: GraphBuilder,
    column: ColumnRef,
    keys: Sequence[Any],
    values: NDArray[np.float64],
    default: float,
) -> str:
    """Return a tensor of shape (rows, 1) with the value that belongs to each key."""
    if column.text:
        texts = [MISSING_TEXT if _is_missing(k) else k for k in keys]
        if not all(isinstance(t, str) for t in texts):
            raise CannotConvert("a string column has categories that are no strings")
        found: Any = string_tensor(texts, "keys")
    else:
        if any(isinstance(k, str) for k in keys):
            raise CannotConvert("a column of numbers has strings for categories")
        numbers = [np.nan if _is_missing(k) else float(k) for k in keys]
        found = double_tensor(numbers, "keys")
    if not len(keys):
        raise CannotConvert("an encoder has a column without categories")
    return graph.node(
        "LabelEncoder",
        graph.tensor((column,)),
        domain=ML,
        keys_tensor=found,
        values_tensor=double_tensor(values, "values"),
        default_tensor=numpy_helper.from_array(np.array([default], dtype=np.float64), "default"),
    )


def _is_missing(value: object) -> bool:
    return value is None or (isinstance(value, float | np.floating) and bool(np.isnan(value)))


def _ordinal(compiler: Compiler, model: Any, columns: Table) -> Table:
    answer: Table = ()
    unknown = np.nan if model.unknown_value is None else float(model.unknown_value)
    for at, (column, keys) in enumerate(zip(columns, model.categories_, strict=True)):
        _note_refusals(compiler.graph, model, column, keys)
        codes = _infrequent_codes(model, at, len(keys))
        for place, key in enumerate(keys):
            if isinstance(key, float | np.floating) and np.isnan(key):
                codes[place] = model.encoded_missing_value
        answer += table(lookup(compiler.graph, column, keys, codes, unknown), 1)
    return answer


def _one_hot(compiler: Compiler, model: Any, columns: Table) -> Table:
    graph = compiler.graph
    answer: Table = ()
    for at, (column, keys) in enumerate(zip(columns, model.categories_, strict=True)):
        _note_refusals(compiler.graph, model, column, keys)
        codes = _infrequent_codes(model, at, len(keys))
        width = int(codes.max()) + 1 if len(codes) else 0
        unknown = -1.0
        infrequent = _infrequent_code(model, at)
        if infrequent is not None and model.handle_unknown in {"infrequent_if_exist", "warn"}:
            unknown = infrequent
        dropped = _dropped(model, at)
        if dropped is not None:
            codes = np.where(codes == dropped, -1.0, codes - (codes > dropped))
            unknown -= unknown > dropped
            width -= 1
        if width == 0:
            continue
        active = lookup(graph, column, keys, codes, unknown)
        hot = graph.node("Equal", active, graph.constant(np.arange(width)))
        answer += table(graph.node("Cast", hot, to=11), width)  # 11: float64
    return answer


def _target(compiler: Compiler, model: Any, columns: Table) -> Table:
    answer: Table = ()
    classes = len(model.classes_) if model.target_type_ == "multiclass" else 1
    defaults = np.atleast_1d(np.asarray(model.target_mean_, dtype=np.float64))
    for at, (column, keys) in enumerate(zip(columns, model.categories_, strict=True)):
        for k in range(classes):
            values = np.asarray(model.encodings_[at * classes + k], dtype=np.float64)
            answer += table(lookup(compiler.graph, column, keys, values, float(defaults[k])), 1)
    return answer


def _note_refusals(graph: GraphBuilder, model: Any, column: ColumnRef, keys: Sequence[Any]) -> None:
    """Remember the categories of an encoder that raises where it sees any other."""
    if model.handle_unknown == "error":
        graph.known[column.tensor, column.place] = tuple(k for k in keys if not _is_missing(k))


def _infrequent_codes(model: Any, at: int, count: int) -> NDArray[np.float64]:
    """Return the code of each category once the infrequent ones share theirs."""
    if getattr(model, "_infrequent_enabled", False):
        mapping = model._default_to_infrequent_mappings[at]
        if mapping is not None:
            return np.asarray(mapping, dtype=np.float64)
    return np.arange(count, dtype=np.float64)


def _infrequent_code(model: Any, at: int) -> float | None:
    if not getattr(model, "_infrequent_enabled", False):
        return None
    mapping = model._default_to_infrequent_mappings[at]
    return None if mapping is None else float(np.max(mapping))


def _dropped(model: Any, at: int) -> int | None:
    dropped = getattr(model, "_drop_idx_after_grouping", None)
    return None if dropped is None or dropped[at] is None else int(dropped[at])


CONVERTERS: dict[str, Converter] = {
    "OrdinalEncoder": _ordinal,
    "OneHotEncoder": _one_hot,
    "TargetEncoder": _target,
}
