"""Scalers, imputers, selections and projections."""

from __future__ import annotations

from typing import Any

import numpy as np

from tidemill.models.converters.compiler import Compiler, Converter
from tidemill.models.converters.graph import CannotConvert, GraphBuilder, Table, table
from tidemill.models.inputs import MISSING_TEXT


def _affine(graph: GraphBuilder, columns: Table, *, minus: Any = None, over: Any = None) -> Table:
    """Return `(columns - minus) / over`, in the order in which scikit-learn rounds."""
    tensor = graph.tensor(columns)
    if minus is not None:
        tensor = graph.node("Sub", tensor, graph.constant(minus))
    if over is not None:
        tensor = graph.node("Div", tensor, graph.constant(over))
    return table(tensor, len(columns))


def _standard(compiler: Compiler, model: Any, columns: Table) -> Table:
    minus = model.mean_ if model.with_mean else None
    return _affine(
        compiler.graph, columns, minus=minus, over=model.scale_ if model.with_std else None
    )


def _robust(compiler: Compiler, model: Any, columns: Table) -> Table:
    minus = model.center_ if model.with_centering else None
    return _affine(
        compiler.graph, columns, minus=minus, over=model.scale_ if model.with_scaling else None
    )


def _max_abs(compiler: Compiler, model: Any, columns: Table) -> Table:
    return _affine(compiler.graph, columns, over=model.scale_)


def _min_max(compiler: Compiler, model: Any, columns: Table) -> Table:
    graph = compiler.graph
    tensor = graph.node("Mul", graph.tensor(columns), graph.constant(model.scale_))
    tensor = graph.node("Add", tensor, graph.constant(model.min_))
    if model.clip:
        low, high = (graph.constant(float(v)) for v in model.feature_range)
        tensor = graph.node("Clip", tensor, low, high)
    return table(tensor, len(columns))


def _imputer(compiler: Compiler, model: Any, columns: Table) -> Table:
    graph = compiler.graph
    statistics = list(model.statistics_)
    # A column without any value has no statistic, and is dropped.
    kept = [i for i, s in enumerate(statistics) if isinstance(s, str) or not np.isnan(s)]
    seen = tuple(columns[i] for i in kept)
    answer: Table = ()
    if seen:
        missing = _missing(graph, seen, model.missing_values)
        fill = [statistics[i] for i in kept]
        constant = graph.strings(fill) if seen[0].text else graph.constant(fill)
        tensor = graph.node("Where", missing, constant, graph.tensor(seen))
        answer = table(tensor, len(seen), text=seen[0].text)
    if model.indicator_ is not None:
        answer += compiler.compile(model.indicator_, columns)
    return answer


def _indicator(compiler: Compiler, model: Any, columns: Table) -> Table:
    graph = compiler.graph
    seen = tuple(columns[int(i)] for i in model.features_)
    if not seen:
        return ()
    missing = _missing(graph, seen, model.missing_values)
    return table(graph.node("Cast", missing, to=11), len(seen))


def _missing(graph: GraphBuilder, columns: Table, marker: Any) -> str:
    """Return where a value is the one that stands for missing."""
    tensor = graph.tensor(columns)
    absent = marker is None or (isinstance(marker, float) and np.isnan(marker))
    if columns[0].text:
        if isinstance(marker, float) and np.isnan(marker):
            raise CannotConvert(
                "strings are imputed where they are NaN, and a missing string is None: "
                "give SimpleImputer missing_values=None"
            )
        return graph.node("Equal", tensor, graph.strings([MISSING_TEXT if absent else str(marker)]))
    if absent:
        return graph.node("IsNaN", tensor)
    return graph.node("Equal", tensor, graph.constant([float(marker)]))


def _selection(_: Compiler, model: Any, columns: Table) -> Table:
    return tuple(columns[int(i)] for i in model.get_support(indices=True))


def _pca(compiler: Compiler, model: Any, columns: Table) -> Table:
    graph = compiler.graph
    tensor = graph.node("Sub", graph.tensor(columns), graph.constant(model.mean_))
    tensor = graph.node("MatMul", tensor, graph.constant(model.components_.T))
    if model.whiten:
        tensor = graph.node("Div", tensor, graph.constant(np.sqrt(model.explained_variance_)))
    return table(tensor, len(model.components_))


def _svd(compiler: Compiler, model: Any, columns: Table) -> Table:
    graph = compiler.graph
    tensor = graph.node("MatMul", graph.tensor(columns), graph.constant(model.components_.T))
    return table(tensor, len(model.components_))


def _too_slow(_: Compiler, model: Any, columns: Table) -> Table:
    name = type(model).__name__
    raise CannotConvert(f"{name} over {len(columns)} columns takes minutes to convert")


def _function(compiler: Compiler, model: Any, columns: Table) -> Table:
    if model.kw_args:
        raise CannotConvert("a function transformer hands further arguments to its function")
    return apply(compiler.graph, model.func, columns)


def apply(graph: GraphBuilder, function: Any, columns: Table) -> Table:
    """Add one of NumPy's functions of one argument.

    Raises:
        CannotConvert: It is the user's own function.
    """
    if function is None or _is_check(function):
        return columns
    if function not in _FUNCTIONS:
        name = getattr(function, "__name__", type(function).__name__)
        raise CannotConvert(f"the function {name!r} is the user's own")
    tensor = graph.tensor(columns)
    if function is np.log1p:
        tensor = graph.node("Log", graph.node("Add", tensor, graph.constant([1.0])))
    elif function is np.expm1:
        tensor = graph.node("Sub", graph.node("Exp", tensor), graph.constant([1.0]))
    elif function is np.square:
        tensor = graph.node("Mul", tensor, tensor)
    else:
        tensor = graph.node(_UNARY[function], tensor)
    return table(tensor, len(columns))


def _is_check(function: Any) -> bool:
    """Whether it is the check that histogram boosting puts before its numbers."""
    inner = getattr(function, "func", function)
    return getattr(inner, "__name__", "") == "check_array" and str(
        getattr(inner, "__module__", "")
    ).startswith("sklearn.")


_UNARY = {np.log: "Log", np.exp: "Exp", np.sqrt: "Sqrt", np.abs: "Abs", np.negative: "Neg"}
_FUNCTIONS = (*_UNARY, np.log1p, np.expm1, np.square)

CONVERTERS: dict[str, Converter] = {
    "StandardScaler": _standard,
    "RobustScaler": _robust,
    "MaxAbsScaler": _max_abs,
    "MinMaxScaler": _min_max,
    "SimpleImputer": _imputer,
    "MissingIndicator": _indicator,
    "FunctionTransformer": _function,
    "QuantileTransformer": _too_slow,
    "PCA": _pca,
    "TruncatedSVD": _svd,
    **dict.fromkeys(
        (
            "SelectKBest",
            "SelectPercentile",
            "SelectFpr",
            "SelectFdr",
            "SelectFwe",
            "SelectFromModel",
            "VarianceThreshold",
            "RFE",
            "RFECV",
            "SequentialFeatureSelector",
        ),
        _selection,
    ),
}
