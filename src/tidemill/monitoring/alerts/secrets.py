"""Reads what sinks need to know and nobody else may: from the environment, or from files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from tidemill.core.policy import SinkPolicy
from tidemill.monitoring.alerts.errors import MissingSecret
from tidemill.monitoring.alerts.protocol import SinkSettings

_MOST_BYTES = 64 * 1024


class Secrets(msgspec.Struct, frozen=True):
    """Where secrets are.

    Attributes:
        environment: The process's variables.
        folder: What relative paths are relative to.
    """

    environment: Mapping[str, str]
    folder: Path | None

    def settings(self, name: str, policy: SinkPolicy, logs: Path) -> SinkSettings:
        """Return what a sink is opened with.

        Raises:
            MissingSecret: A variable or a file that the policy names is not there.
        """
        url = self._value(name, policy.url_env, policy.url_file, "its address")
        secret = self._value(name, policy.secret_env, policy.secret_file, "its secret")
        return SinkSettings(
            name=name,
            url=policy.url or url,
            secret=secret,
            allow_private=policy.allow_private,
            timeout=policy.timeout,
            logs=logs,
            options=policy.options,
        )

    def _value(self, sink: str, variable: str | None, file: str | None, what: str) -> str:
        if variable is not None:
            return self._variable(sink, variable, what)
        return "" if file is None else self._file(sink, file, what)

    def _variable(self, sink: str, variable: str, what: str) -> str:
        value = self.environment.get(variable, "").strip()
        if not value:
            raise MissingSecret(
                f"The environment variable {variable} is not set.",
                expected=f"{what}, for the sink {sink!r}",
                hint="Set it for the process that delivers: `tidemill up`.",
            )
        return value

    def _file(self, sink: str, file: str, what: str) -> str:
        path = (self.folder or Path()) / file
        try:
            with path.open("rb") as opened:
                value = opened.read(_MOST_BYTES).decode().strip()
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not UTF-8"
            raise MissingSecret(
                f"The file {path} cannot be read: {reason}.",
                expected=f"{what}, for the sink {sink!r}",
            ) from error
        if not value:
            raise MissingSecret(
                f"The file {path} is empty.", expected=f"{what}, for the sink {sink!r}"
            )
        return value


def scrubbed(text: str, settings: SinkSettings | None, policy: SinkPolicy | None) -> str:
    """Return a text without the secrets that a sink was opened with.

    Example:
        >>> known = SinkSettings(name="chat", url="slack://token", secret="shh", logs=Path("."))
        >>> scrubbed("cannot reach slack://token with shh", known, None)
        'cannot reach … with …'
    """
    if settings is None:
        return text
    hidden = [settings.secret]
    if policy is None or policy.url is None:
        hidden += [settings.url, *_parts(settings.url)]
    for secret in sorted(filter(None, hidden), key=len, reverse=True):
        text = text.replace(secret, "…")
    return text


def _parts(url: str) -> list[str]:
    """Return the parts of an address that may be a token by themselves."""
    rest = url.partition("://")[2]
    for mark in "/@:?&=#":
        rest = rest.replace(mark, " ")
    return [part for part in rest.split() if len(part) >= 8]
