"""Compiles a fitted scikit-learn model part by part: what every converter is handed.

A part is looked up by its library and class among the converters; for one that has none the
fallback is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tidemill.models.converters.graph import CannotConvert, GraphBuilder, Table

Converter = Callable[["Compiler", Any, Table], Table]


class Compiler:
    """Compiles one model.

    Args:
        graph: Where nodes go.
        converters: By the library and the name of the class: `sklearn.Ridge`.
        fallback: For classes that none of them is for.
    """

    def __init__(
        self, graph: GraphBuilder, converters: Mapping[str, Converter], fallback: Converter
    ) -> None:
        self.graph = graph
        self._converters = converters
        self._fallback = fallback

    def compile(self, part: Any, columns: Table) -> Table:
        """Add a part's nodes and return the columns of its answer.

        A transformer answers with its columns, a regressor with one, a multiclass classifier with
        one a class, a binary classifier with one: the probability of its second class.

        Raises:
            CannotConvert: The part has no counterpart.
        """
        converter = self._converters.get(_full_name(part))
        return (converter or self._fallback)(self, part, columns)

    def borrow(self, part: Any, columns: Table) -> Table:
        """Let the fallback add a part, for a converter that cannot do it all."""
        return self._fallback(self, part, columns)


def _full_name(part: object) -> str:
    """Return a class's name behind its library's; a user's subclass may do something else."""
    return f"{type(part).__module__.partition('.')[0]}.{type(part).__name__}"


def select(columns: Table, chosen: Any, names: Sequence[str] | None) -> Table:
    """Return the columns that a column transformer means by `chosen`."""
    if isinstance(chosen, str):
        chosen = [chosen]
    if isinstance(chosen, slice):
        if isinstance(chosen.start, str) or isinstance(chosen.stop, str):
            raise CannotConvert("columns are chosen by a slice of names")
        return columns[chosen]
    if np.isscalar(chosen):
        chosen = [chosen]
    chosen = list(chosen)
    if chosen and all(isinstance(c, bool | np.bool_) for c in chosen):
        return tuple(c for c, wanted in zip(columns, chosen, strict=True) if wanted)
    if any(isinstance(c, str) for c in chosen):
        if names is None:
            raise CannotConvert("columns are chosen by name, and the part has no names")
        places = {name: at for at, name in enumerate(names)}
        return tuple(columns[places[c]] for c in chosen)
    return tuple(columns[int(c)] for c in chosen)
