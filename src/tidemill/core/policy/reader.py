"""Reads `tidemill.toml`: checks every key, and says in which line a mistake stands.

Works on text; whoever calls has read the file.
"""

from __future__ import annotations

import math
import re
import tomllib
import typing
from collections.abc import Collection, Iterator
from typing import Any, get_args

import msgspec

from tidemill.core import settings
from tidemill.core.errors import nearest
from tidemill.core.policy.durations import duration, size
from tidemill.core.policy.errors import BadPolicy
from tidemill.core.policy.lines import Path, locate
from tidemill.core.policy.records import (
    DURATION,
    SIZE,
    SIZES,
    UNITS,
    AlertPolicy,
    AlertRule,
    BacktestPolicy,
    DatasetPolicy,
    GateRule,
    HealthPolicy,
    ModelPolicy,
    MonitorPolicy,
    Policy,
    RetrainPolicy,
    RolloutPolicy,
    RoutePolicy,
    RuntimePolicy,
    ServingPolicy,
    SinkPolicy,
)
from tidemill.core.policy.rules import SANDBOXED, breaches
from tidemill.core.tasks import CLASSIFICATION_METRICS, REGRESSION_METRICS

MOST_BYTES = 1 << 20
_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "backtest": BacktestPolicy,
    "rollout": RolloutPolicy,
    "retrain": RetrainPolicy,
    "monitor": MonitorPolicy,
    "serving": ServingPolicy,
    "runtime": RuntimePolicy,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_METRICS = (*CLASSIFICATION_METRICS, *REGRESSION_METRICS, *SANDBOXED)
_WORDS = {
    "float": "a number",
    "int": "a whole number",
    "str": "text in quotes",
    "bool": "true or false",
    "array": "a list",
    "object": "a table",
}
_BOUNDS = {">=": "of at least", ">": "above", "<=": "of at most", "<": "below"}


def read_policy(text: str | bytes, *, filename: str = "tidemill.toml") -> Policy:
    """Read a policy.

    Args:
        text: What the file holds.
        filename: What it is called in messages.

    Raises:
        BadPolicy: It is not TOML, has an unknown key, or a value that the key does not take.

    Example:
        >>> policy = read_policy('''
        ... [datasets.d]
        ... source = "*.csv"
        ... [models.m]
        ... train = "pipeline:fit"
        ... dataset = "d"
        ... holdout = "7d"
        ... ''')
        >>> policy.models["m"].holdout
        604800.0
    """
    readable = _decoded(text, filename)
    return _Reader(readable, _parsed(readable, filename), filename).policy()


def _decoded(text: str | bytes, filename: str) -> str:
    if len(text) > MOST_BYTES:
        raise BadPolicy(f"{filename} has {len(text):,} bytes.", expected=f"at most {MOST_BYTES:,}")
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            raise BadPolicy(
                f"{filename}:{line}: the byte 0x{error.object[error.start]:02x} is not UTF-8.",
                expected="a file saved as UTF-8",
            ) from error
    return text.removeprefix("\ufeff").replace("\r\n", "\n")


def _parsed(text: str, filename: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        line = re.search(r"at line (\d+)", str(error))
        at = f":{line[1]}" if line else f":{text.count(chr(10)) + 1}"
        reason = str(error).partition(" (at ")[0]
        raise BadPolicy(f"{filename}{at}: {reason}.", expected="valid TOML") from error
    except RecursionError:
        raise BadPolicy(
            f"{filename}: lists or tables stand in one another too deep.", expected="valid TOML"
        ) from None


class _Reader:
    def __init__(self, text: str, content: dict[str, Any], filename: str) -> None:
        self._text = text
        self._content = content
        self._filename = filename

    def policy(self) -> Policy:
        content = self._known(self._content, (), Policy)
        datasets = self._tables(content, ("datasets",))
        models = self._tables(content, ("models",))
        whole = {
            **content,
            "datasets": {n: self._record(t, ("datasets", n), DatasetPolicy) for n, t in datasets},
            "models": {n: self._model(t, ("models", n)) for n, t in models},
        }
        if "alerts" in content:
            whole["alerts"] = self._alerts(content["alerts"], ("alerts",))
        if "health" in content:
            whole["health"] = self._record(content["health"], ("health",), HealthPolicy)
        if "settings" in content:
            whole["settings"] = dict(self._settings(content["settings"]))
        policy: Policy = self._record(whole, (), Policy)
        for breach in breaches(policy):
            raise self._mistake(
                breach.path, f"{_spelled(breach.path)} {breach.what}", breach.expected
            )
        return policy

    def _tables(self, content: dict[str, Any], path: Path) -> list[tuple[str, Any]]:
        """Return the named tables that stand in `content` under the last part of a path."""
        tables = content.get(path[-1], {})
        if not isinstance(tables, dict):
            raise self._wrong(path, tables, f"tables [{_spelled(path)}.NAME]")
        for name in tables:
            if not _NAME.fullmatch(name):
                expected = "at most 100 letters, digits, '.', '_' and '-'"
                raise self._mistake((*path, name), f"{name!r} is no name", expected)
        return list(tables.items())

    def _alerts(self, table: Any, path: Path) -> AlertPolicy:
        content = dict(self._known(table, path, AlertPolicy))
        for key, kind in (("sinks", SinkPolicy), ("rules", AlertRule)):
            if key in content:
                tables = self._tables(content, (*path, key))
                content[key] = {n: self._record(t, (*path, key, n), kind) for n, t in tables}
        if "routes" in content:
            content["routes"] = self._record(content["routes"], (*path, "routes"), RoutePolicy)
        return self._record(content, path, AlertPolicy)  # type: ignore[no-any-return]

    def _model(self, table: Any, path: Path) -> ModelPolicy:
        content = dict(self._known(table, path, ModelPolicy))
        for key, kind in _SECTIONS.items():
            if key in content:
                content[key] = self._record(content[key], (*path, key), kind)
        gate = content.get("gate", {})
        if not isinstance(gate, dict):
            raise self._wrong((*path, "gate"), gate, "a table with a rule for each metric")
        for metric in gate:
            if metric not in _METRICS:
                raise self._unknown((*path, "gate", metric), metric, _METRICS, "metric")
        content["gate"] = {
            m: self._record(r, (*path, "gate", m), GateRule) for m, r in gate.items()
        }
        return self._record(content, path, ModelPolicy)  # type: ignore[no-any-return]

    def _settings(self, table: Any) -> Iterator[tuple[str, settings.Value]]:
        if not isinstance(table, dict):
            raise self._wrong(("settings",), table, "a table")
        for name, value in table.items():
            path = ("settings", name)
            try:
                setting = settings.setting_in_file(name, where=self._at(path))
                where = f"{self._at(path)}: {_spelled(path)}"
                yield name, settings.checked_in_file(setting, value, where=where)
            except settings.BadSetting as error:
                raise BadPolicy(error.what, expected=error.expected) from error

    def _record(self, table: Any, path: Path, kind: type[msgspec.Struct]) -> Any:
        content = dict(self._known(table, path, kind))
        for key in content.keys() & _titled(kind, SIZE):
            number = size(content[key])
            if number is None:
                expected = f'a size such as "10GB" ({", ".join(SIZES)}), or a number of bytes'
                raise self._wrong((*path, key), content[key], expected)
            content[key] = number
        for key in content.keys() & _titled(kind, DURATION):
            seconds = duration(content[key])
            if seconds is None:
                units = ", ".join(UNITS)
                expected = f'a duration such as "7d" or "90m" ({units}), or a number of seconds'
                raise self._wrong((*path, key), content[key], expected)
            content[key] = seconds
        for key, value in content.items():
            if isinstance(value, float) and not math.isfinite(value):
                raise self._wrong((*path, key), value, "a finite number")
        try:
            return msgspec.convert(content, kind, strict=True)
        except msgspec.ValidationError as error:
            raise self._invalid(error, content, path, kind) from error

    def _known(self, table: Any, path: Path, kind: type[msgspec.Struct]) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise self._wrong(path, table, f"a table [{_spelled(path)}]")
        known = kind.__struct_encode_fields__
        for key in table:
            if key not in known:
                raise self._unknown((*path, key), key, known, "key")
        return table

    def _invalid(
        self,
        error: msgspec.ValidationError,
        content: dict[str, Any],
        path: Path,
        kind: type[msgspec.Struct],
    ) -> BadPolicy:
        said, _, place = str(error).partition(" - at ")
        missing = re.search(r"missing required field `(\w+)`", said)
        if missing:
            return self._mistake(
                path, f"[{_spelled(path)}] has no `{missing[1]}`", f"{missing[1]} = …"
            )
        keys = tuple(a or b for a, b in re.findall(r"\.(\w+)|\[(\d+)\]", place.partition("$")[2]))
        value: Any = content
        for key in keys:
            value = value[int(key)] if isinstance(value, list) else value[key]
        choices = _choices(kind, keys[0]) if keys else ()
        expected = nearest(str(value), choices) if choices else _in_words(said)
        return self._wrong((*path, *keys), value, expected)

    def _wrong(self, path: Path, value: object, expected: str) -> BadPolicy:
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        shown = shown if len(shown) < 80 else f"{shown[:77]}…"
        return self._mistake(path, f"{_spelled(path)} is {shown}", expected)

    def _unknown(self, path: Path, name: str, known: Collection[str], what: str) -> BadPolicy:
        where = f"[{_spelled(path[:-1])}]" if path[:-1] else "the file"
        return self._mistake(path, f"there is no {what} {name!r} in {where}", nearest(name, known))

    def _mistake(self, path: Path, what: str, expected: str) -> BadPolicy:
        return BadPolicy(f"{self._at(path)}: {what}.", expected=expected)

    def _at(self, path: Path) -> str:
        lines = locate(self._text)
        nearby = (path[:end] for end in range(len(path), 0, -1))
        line = next((lines[p] for p in nearby if p in lines), 1)
        return f"{self._filename}:{line}"


def _spelled(path: Path) -> str:
    """Return a path as it would be written; a list's element by its index in brackets."""
    return "".join(f"[{p}]" if p.isdigit() else f".{p}" for p in path).removeprefix(".")


def _in_words(said: str) -> str:
    """Translate what msgspec expected into words for people.

    Example:
        >>> _in_words("Expected `float | null`, got `str`"), _in_words("Expected `float` <= 1.0")
        ('a number', 'a number of at most 1')
    """
    found = re.match(r"Expected `([^`]*)`(?: ([<>]=?) (\S+))?", said)
    if found is None:
        return said
    kinds = [_WORDS.get(kind, kind) for kind in found[1].split(" | ") if kind != "null"]
    bound = f" {_BOUNDS[found[2]]} {float(found[3]):.10g}" if found[2] else ""
    return " or ".join(kinds) + bound


def _titled(kind: type[msgspec.Struct], title: str) -> frozenset[str]:
    """Return the keys of a record that hold durations, or sizes."""
    fields = msgspec.structs.fields(kind)
    return frozenset(f.encode_name for f in fields if any(m == title for m in _titles(f.type)))


def _titles(kind: Any) -> Iterator[str | None]:
    for part in (kind, *get_args(kind)):
        for meta in getattr(part, "__metadata__", ()):
            yield meta.title


def _choices(kind: type[msgspec.Struct], key: str) -> tuple[str, ...]:
    """Return the words that a field accepts, where it accepts certain words only."""
    hint = next((f.type for f in msgspec.structs.fields(kind) if f.encode_name == key), None)
    options = [hint, *get_args(hint)]
    words = [w for o in options if typing.get_origin(o) is typing.Literal for w in get_args(o)]
    return tuple(w for w in words if isinstance(w, str))
