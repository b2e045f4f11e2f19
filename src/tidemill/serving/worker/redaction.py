"""What of a request reaches the log: columns left out, hashed or cut, by policy."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from tidemill.core.policy.redaction import Redact, read_redaction

_KEY_BYTES = 32
_HASH_BYTES = 16


class Redaction:
    """The rules of an endpoint.

    Args:
        rules: As the policy has them.
        secret: The key of the hashes.
    """

    def __init__(self, rules: Sequence[str], secret: bytes) -> None:
        read = [read_redaction(rule) for rule in rules]
        self._rules = {rule.column: rule for rule in read if rule is not None}
        self._secret = secret

    def plain(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those columns that are logged as they are."""
        return tuple(name for name in names if name not in self._rules)

    def partly(self, names: Sequence[str]) -> tuple[str, ...]:
        """Return those columns of which only something is logged."""
        return tuple(
            name for name in names if name in self._rules and self._rules[name].action != "drop"
        )

    def left(self, name: str, values: Iterable[Any]) -> list[str | None]:
        """Return what is logged of such a column."""
        rule = self._rules[name]
        return [self._left(rule, value) for value in values]

    def keys(self, column: str | None, keys: list[str | None] | None) -> list[str | None] | None:
        """Return what is logged of rows' keys.

        Args:
            column: The contract's key column.
            keys: One a row.
        """
        rule = None if column is None else self._rules.get(column)
        if rule is None or keys is None:
            return keys
        return None if rule.action == "drop" else [self._left(rule, key) for key in keys]

    def _left(self, rule: Redact, value: Any) -> str | None:
        if value is None or value != value:  # noqa: PLR0124 - NaN: missing, in an array
            return None
        text = str(value)
        if rule.action == "truncate":
            return text[: rule.length]
        hasher = hashlib.blake2b(
            text.encode("utf-8", "surrogatepass"), key=self._secret, digest_size=_HASH_BYTES
        )
        return hasher.hexdigest()


class Redactions:
    """The rules of all endpoints.

    Args:
        secret: The file of the hashes' key; made if it is missing.
    """

    def __init__(self, secret: Path) -> None:
        self._file = secret
        self._secret: bytes | None = None
        self._known: dict[tuple[str, ...], Redaction] = {}

    def of(self, rules: tuple[str, ...]) -> Redaction:
        """Return what the rules of an endpoint do."""
        found = self._known.get(rules)
        if found is None:
            if self._secret is None:
                self._secret = _secret(self._file)
            found = self._known[rules] = Redaction(rules, self._secret)
        return found


def _secret(path: Path) -> bytes:
    """Return the key of the hashes; the first of the workers to ask makes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    if not path.exists():
        draft.touch(0o600)
        with draft.open("wb") as file:
            file.write(os.urandom(_KEY_BYTES))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(draft)
        draft.unlink()
    return path.read_bytes()
