"""Attributes that are made when they are first asked for, by one thread only."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self, TypeVar, overload

T = TypeVar("T")
_LOCK = threading.RLock()
"""One for all: what is made asks for others of its kind, so several could wait in a ring."""


class once(cached_property[T]):  # noqa: N801 is used as a decorator, like its parent
    """A `cached_property` whose function runs once, however many threads ask at the same time.

    Example:
        >>> class Room:
        ...     @once
        ...     def number(self) -> int:
        ...         print("made")
        ...         return 7
        >>> room = Room()
        >>> room.number + room.number
        made
        14
    """

    def __init__(self, function: Callable[[Any], T]) -> None:
        super().__init__(function)

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...

    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...

    def __get__(self, instance: object, owner: type[Any] | None = None) -> Any:
        """Return the value; it is in the instance's dictionary from then on."""
        if instance is None:
            return self
        with _LOCK:
            return super().__get__(instance, owner)
