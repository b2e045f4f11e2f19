"""What models and tags may be called."""

from __future__ import annotations

from collections.abc import Mapping

from tidemill.core.errors import BadReference
from tidemill.core.references import Ref
from tidemill.registry.errors import BadModelName, BadTag

MAX_KEY = 250
MAX_VALUE = 100_000


def checked_name(name: str) -> str:
    """Return a model's name.

    Raises:
        BadModelName: It cannot be one.

    Example:
        >>> checked_name("flight-delay")
        'flight-delay'
    """
    if not name.strip():
        raise BadModelName("A model has no name.", expected="a name, such as flight-delay")
    if "/" in name or ":" in name:
        raise BadModelName(
            f"Invalid model name {name!r}. Names cannot contain '/' or ':'.",
            expected="a name, such as flight-delay",
        )
    try:
        whole = Ref.parse(f"model:{name}")
    except BadReference as error:
        raise BadModelName(
            f"Invalid model name {name[:300]!r}. Names have at most 250 characters, no space at an "
            "end, and no '@' or control characters.",
            expected="a name, such as flight-delay",
        ) from error
    if whole.version is not None:
        raise BadModelName(
            f"Invalid model name {name!r}. Names cannot contain '@', which says a version.",
            expected="a name, such as flight-delay",
        )
    if name in {".", ".."}:
        raise BadModelName(
            f"Invalid model name {name!r}. Names must not be a folder's when treated as files.",
            expected="a name, such as flight-delay",
        )
    return name


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags.

    Raises:
        BadTag: A key is empty or too long, or a value is too long.
    """
    for key, value in tags.items():
        if not key or "\x00" in key + value:
            raise BadTag(
                f"Invalid tag key {key[:300]!r}.", expected="a key, and no NUL in it or its value"
            )
        for what, text, most in (("key", key, MAX_KEY), ("value", value, MAX_VALUE)):
            if len(text) > most:
                raise BadTag(
                    f"{what!r} exceeds the maximum length of {most} characters",
                    expected=f"at most {most:,}, and tag {key[:60]!r} has {len(text):,}",
                )
    return dict(tags)
