"""References: the strings by which people and records name things.

`dataset:flights@3f9a`, `run:0192…`, `model:flight-delay@7`, `model:flight-delay@champion`,
`endpoint:flight-delay`, `prediction:0192…`.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tidemill.core.errors import BadReference, nearest

KINDS = (
    "dataset",
    "experiment",
    "run",
    "step",
    "model",
    "endpoint",
    "prediction",
    "window",
    "finding",
    "alert",
    "decision",
    "rollout",
    "environment",
    "code",
    "blob",
    "source",
    "machine",
)
_NAME = re.compile(r"[^\s@:\x00-\x1f](?:[^\s@\x00-\x1f]| (?! |$)){0,249}")


class Ref(msgspec.Struct, frozen=True, order=True):
    """A typed name, with a version where the thing has versions.

    Example:
        >>> Ref.parse("model:flight-delay@7")
        Ref(kind='model', name='flight-delay', version='7')
        >>> str(Ref("dataset", "flights", "3f9a"))
        'dataset:flights@3f9a'
    """

    kind: str
    name: str
    version: str | None = None

    def __str__(self) -> str:
        tail = "" if self.version is None else f"@{self.version}"
        return f"{self.kind}:{self.name}{tail}"

    @classmethod
    def parse(cls, text: str, *, kind: str | None = None) -> Ref:
        """Read a reference; with `kind`, the prefix may be left out.

        Raises:
            BadReference: The text has no known kind, no name, or another kind than asked for.
        """
        head, colon, rest = text.partition(":")
        if not colon and kind:
            head, rest = kind, text
        if head not in KINDS:
            raise BadReference(
                f"{text!r} is not a reference: {head!r} is no kind of thing.",
                expected=nearest(head, KINDS),
                hint="Write it like model:flight-delay@champion.",
            )
        if kind and head != kind:
            raise BadReference(
                f"{text!r} names a {head}.", expected=f"a {kind}", hint=f"Write {kind}:NAME."
            )
        name, at, version = rest.partition("@")
        if not _NAME.fullmatch(name) or (at and not _NAME.fullmatch(version)):
            raise BadReference(
                f"{text!r} is not a reference.",
                expected=f"{head}:NAME or {head}:NAME@VERSION, without spaces at an end",
            )
        return cls(head, name, version or None)


def encode_hook(value: Any) -> Any:
    """Write a reference as its string in JSON (msgspec's `enc_hook`)."""
    if isinstance(value, Ref):
        return str(value)
    raise NotImplementedError(f"cannot encode {type(value).__name__}")
