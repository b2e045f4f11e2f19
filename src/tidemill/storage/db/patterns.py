"""Regular expressions that strangers send: RE2's, whose time grows with the text and no faster."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from tidemill.core.search.errors import BadSearch

_MAX_LENGTH = 1000
_MAX_MEMORY = 1 << 20


def checked_pattern(pattern: str) -> str:
    """Return a regular expression that can be used.

    Raises:
        BadSearch: It cannot be read, or is too long.

    Example:
        >>> checked_pattern("^lstm-[0-9]+$")
        '^lstm-[0-9]+$'
    """
    if len(pattern) > _MAX_LENGTH:
        raise BadSearch(
            f"The regular expression has {len(pattern):,} characters.",
            expected=f"at most {_MAX_LENGTH:,}",
        )
    _compiled(pattern)
    return pattern


def found(pattern: str, text: str | None) -> bool | None:
    """Return whether a regular expression is found in a text; SQLite's `REGEXP`."""
    return None if text is None else _compiled(pattern).search(str(text)) is not None


@lru_cache(maxsize=64)
def _compiled(pattern: str) -> Any:
    import re2  # type: ignore[import-untyped]

    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MAX_MEMORY
    try:
        return re2.compile(pattern, options=options)
    except re2.error as error:
        reason = error.args[0]
        said = reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
        raise BadSearch(
            f"{pattern[:200]!r} is not a regular expression: {said}.",
            expected="one in RE2's syntax, without back-references or look-around",
        ) from error
