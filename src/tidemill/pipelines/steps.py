"""`@step` and `@pipeline`: ordinary functions, and the graph that calling them draws.

Inside a pipeline function, calling a step does not run it: it records a node and returns a handle
that stands for its value. Outside, a step is the function it was made from.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, ParamSpec, TypeVar, overload

import msgspec

from tidemill.pipelines.errors import BadPipeline

P = ParamSpec("P")
R = TypeVar("R")


class Handle(msgspec.Struct, frozen=True):
    """Stands for the value of a node, or of one member of it when that is a tuple."""

    node: int
    member: int | None = None

    def __getitem__(self, member: int) -> Handle:
        """Return a handle for one member of a tuple."""
        return Handle(self.node, member)

    def __iter__(self) -> Iterator[Handle]:
        """A handle cannot be unpacked: its length is not known before the step has run."""
        raise BadPipeline(
            "A step's value cannot be unpacked inside a pipeline.",
            expected="members by number, such as parts[0]",
        )


class Node(msgspec.Struct, frozen=True):
    """A call of a step: the step, and its arguments by name."""

    step: Step[..., Any]
    arguments: dict[str, Any]


_GRAPH: ContextVar[list[Node] | None] = ContextVar("tidemill_graph", default=None)


class Step(Generic[P, R]):
    """A function as a step.

    Attributes:
        name: Its name.
        function: What it was made from.
        cache: Whether its value may be taken from an earlier run with the same inputs.
        isolated: Whether it runs in a child process.
        retries: How often it is tried again after it failed.
        timeout: After how many seconds it is ended, if ever.
    """

    def __init__(
        self,
        function: Callable[P, R],
        *,
        cache: bool,
        isolated: bool,
        retries: int,
        timeout: float | None,
    ) -> None:
        # A step that is made from a step is that step with other options.
        self.function: Callable[P, R] = (
            function.function if isinstance(function, Step) else function
        )
        self.name = getattr(function, "__name__", "step")
        self.cache = cache
        self.isolated = isolated
        self.retries = retries
        self.timeout = timeout
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run the function, or, inside a pipeline, record that it is to run."""
        graph = _GRAPH.get()
        if graph is None:
            return self.function(*args, **kwargs)
        bound = inspect.signature(self.function).bind(*args, **kwargs)
        bound.apply_defaults()
        graph.append(Node(self, dict(bound.arguments)))
        return Handle(len(graph) - 1)  # type: ignore[return-value]


class Pipeline(Generic[P]):
    """A function whose calls of steps make a graph."""

    def __init__(self, function: Callable[P, Any], name: str | None) -> None:
        self.function = function
        self.name = name or getattr(function, "__name__", "pipeline")
        functools.update_wrapper(self, function, updated=())

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Run every step at once and in this process, without cache or record."""
        return self.function(*args, **kwargs)

    def graph(self, *args: P.args, **kwargs: P.kwargs) -> list[Node]:
        """Return the nodes in the order in which they were called.

        Raises:
            BadPipeline: The function called no step.
        """
        with _recording() as nodes:
            self.function(*args, **kwargs)
        if not nodes:
            raise BadPipeline(
                f"The pipeline {self.name!r} calls no step.",
                expected="at least one call of a function that is marked with @step",
            )
        return nodes


@overload
def step(function: Callable[P, R], /) -> Step[P, R]: ...


@overload
def step(
    *,
    cache: bool = True,
    isolated: bool = True,
    retries: int = 0,
    timeout: float | None = None,
) -> Callable[[Callable[P, R]], Step[P, R]]: ...


def step(
    function: Callable[P, R] | None = None,
    /,
    *,
    cache: bool = True,
    isolated: bool = True,
    retries: int = 0,
    timeout: float | None = None,
) -> Step[P, R] | Callable[[Callable[P, R]], Step[P, R]]:
    """Make a step of a function.

    Args:
        function: The function; left out where the decorator has options.
        cache: Whether its value may be taken from an earlier run with the same inputs.
        isolated: Whether it runs in a child process.
        retries: How often it is tried again after it failed.
        timeout: After how many seconds it is ended, if ever.

    Example:
        >>> @step
        ... def double(value: int) -> int:
        ...     return 2 * value
        >>> double(4)
        8
        >>> @pipeline
        ... def numbers() -> None:
        ...     double(double(4))
        >>> [node.step.name for node in numbers.graph()]
        ['double', 'double']
    """

    def decorate(inner: Callable[P, R]) -> Step[P, R]:
        return Step(inner, cache=cache, isolated=isolated, retries=retries, timeout=timeout)

    return decorate if function is None else decorate(function)


def pipeline(function: Callable[P, Any]) -> Pipeline[P]:
    """Make a pipeline of a function that calls steps."""
    return Pipeline(function, None)


@contextmanager
def _recording() -> Iterator[list[Node]]:
    nodes: list[Node] = []
    token = _GRAPH.set(nodes)
    try:
        yield nodes
    finally:
        _GRAPH.reset(token)
