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
            f"Invalid model name {name[:300]!r}.",
            expected="at most 250 characters, without spaces at an end, '@' or control characters",
        ) from error
    if whole.version is not None:
        raise BadModelName(
            f"{name!r} cannot be a model's name.",
            expected="a name without '@': versions are counted by the registry",
        )
    if name in {".", ".."}:
        raise BadModelName(f"Invalid model name {name!r}.", expected="a name of its own")
    return name


def checked_tags(tags: Mapping[str, str]) -> dict[str, str]:
    """Return tags.

    Raises:
        BadTag: A key is empty or too long, or a value is too long.
    """
    for key, value in tags.items():
        if not key or len(key) > MAX_KEY or "\x00" in key + value:
            raise BadTag(
                f"Invalid tag key {key[:300]!r}.", expected=f"1 to {MAX_KEY} characters, no NUL"
            )
        if len(value) > MAX_VALUE:
            raise BadTag(
                f"The value of tag {key!r} has {len(value):,} characters.",
                expected=f"at most {MAX_VALUE:,}",
            )
    return dict(tags)
