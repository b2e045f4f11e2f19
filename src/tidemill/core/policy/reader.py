"""Reads `tidemill.toml`: checks every key, and says in which line a mistake stands.

Works on text; whoever calls has read the file.
"""

from __future__ import annotations

import math
import re
import tomllib
from typing import Any, get_args

import msgspec

from tidemill.core.errors import nearest
from tidemill.core.policy.errors import BadPolicy
from tidemill.core.policy.records import (
    AlertPolicy,
    DatasetPolicy,
    GateRule,
    ModelPolicy,
    MonitorPolicy,
    Policy,
    RetrainPolicy,
    RolloutPolicy,
    ServingPolicy,
)
from tidemill.core.tasks import CLASSIFICATION_METRICS, LOWER_IS_BETTER, REGRESSION_METRICS

UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 7 * 86400.0}
DURATIONS = frozenset(
    {"window", "block", "cooldown", "holdout", "step_duration", "deadline", "label_delay"}
)
"""Keys whose values are durations wherever they stand."""
_SECTIONS: dict[str, type[msgspec.Struct]] = {
    "rollout": RolloutPolicy,
    "retrain": RetrainPolicy,
    "monitor": MonitorPolicy,
    "serving": ServingPolicy,
}
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")
_METRICS = frozenset({*CLASSIFICATION_METRICS, *REGRESSION_METRICS, *LOWER_IS_BETTER})

Path = tuple[str, ...]


def read_policy(text: str, *, filename: str = "tidemill.toml") -> Policy:
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
    return _Reader(text, filename).policy()


def duration(value: object) -> float | None:
    """Return seconds, from a number of them or from text such as `"90m"`; else nothing.

    Example:
        >>> duration("7d"), duration("1.5h"), duration(30), duration("soon")
        (604800.0, 5400.0, 30.0, None)
    """
    if isinstance(value, int | float) and not isinstance(value, bool):
        return float(value) if math.isfinite(value) and value >= 0 else None
    match = _DURATION.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1]) * UNITS[match[2]] if match else None


class _Reader:
    def __init__(self, text: str, filename: str) -> None:
        self._filename = filename
        self._lines = text.splitlines()
        try:
            self._content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            line = re.search(r"at line (\d+)", str(error))
            at = f":{line[1]}" if line else ""
            reason = str(error).partition(" (at ")[0]
            raise BadPolicy(f"{filename}{at}: {reason}.", expected="valid TOML") from error

    def policy(self) -> Policy:
        content = self._known(self._content, (), Policy)
        datasets = self._tables(content, "datasets")
        models = self._tables(content, "models")
        whole = {
            **content,
            "datasets": {n: self._record(t, ("datasets", n), DatasetPolicy) for n, t in datasets},
            "models": {n: self._model(t, ("models", n)) for n, t in models},
        }
        if "alerts" in content:
            whole["alerts"] = self._record(content["alerts"], ("alerts",), AlertPolicy)
        policy: Policy = self._record(whole, (), Policy)
        self._check(policy)
        return policy

    def _tables(self, content: dict[str, Any], kind: str) -> list[tuple[str, Any]]:
        tables = content.get(kind, {})
        if not isinstance(tables, dict):
            raise self._wrong((kind,), tables, f"tables [{kind}.NAME]")
        for name in tables:
            if not _NAME.fullmatch(name):
                raise self._wrong((kind, name), name, "letters, digits, '.', '_' and '-'")
        return list(tables.items())

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

    def _record(self, table: Any, path: Path, kind: type[msgspec.Struct]) -> Any:
        content = dict(self._known(table, path, kind))
        for key in content.keys() & DURATIONS:
            seconds = duration(content[key])
            if seconds is None:
                units = ", ".join(UNITS)
                expected = f'a duration such as "7d" or "90m" ({units}), or a number of seconds'
                raise self._wrong((*path, key), content[key], expected)
            content[key] = seconds
        try:
            return msgspec.convert(content, kind, strict=True)
        except msgspec.ValidationError as error:
            raise self._invalid(error, content, path, kind) from error

    def _known(self, table: Any, path: Path, kind: type[msgspec.Struct]) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise self._wrong(path, table, "a table")
        known = kind.__struct_fields__
        for key in table:
            if key not in known:
                raise self._unknown((*path, key), key, known, "key")
        return table

    def _check(self, policy: Policy) -> None:
        for name, model in policy.models.items():
            path = ("models", name)
            if model.dataset not in policy.datasets:
                raise self._unknown((*path, "dataset"), model.dataset, policy.datasets, "dataset")
            for metric in model.metrics:
                if metric not in _METRICS:
                    raise self._unknown((*path, "metrics"), metric, _METRICS, "metric")
            steps = model.rollout.steps
            if not steps or steps[-1] != 100 or list(steps) != sorted(set(steps)) or steps[0] <= 0:
                where = (*path, "rollout", "steps")
                raise self._wrong(where, list(steps), "growing percentages that end with 100")
            if not 0 < model.threshold < 1:
                raise self._wrong((*path, "threshold"), model.threshold, "between 0 and 1")
            for metric, rule in model.gate.items():
                if not 0.5 <= rule.confidence < 1:
                    where = (*path, "gate", metric)
                    raise self._wrong(where, rule.confidence, "a confidence from 0.5 to below 1")

    def _invalid(
        self,
        error: msgspec.ValidationError,
        content: dict[str, Any],
        path: Path,
        kind: type[msgspec.Struct],
    ) -> BadPolicy:
        message = str(error)
        missing = re.search(r"missing required field `(\w+)`", message)
        if missing:
            return BadPolicy(
                f"{self._at(path)}: [{'.'.join(path)}] has no `{missing[1]}`.",
                expected=f"{missing[1]} = …",
            )
        found = re.search(r"at `\$\.(\w+)", message)
        key = found[1] if found else ""
        expected = message.partition(" - at ")[0].removeprefix("Expected ")
        choices = _choices(kind, key)
        if choices:
            expected = nearest(str(content.get(key)), choices)
        return self._wrong((*path, key), content.get(key), expected)

    def _wrong(self, path: Path, value: object, expected: str) -> BadPolicy:
        shown = repr(value) if len(repr(value)) < 80 else repr(value)[:77] + "…"
        return BadPolicy(f"{self._at(path)}: {'.'.join(path)} is {shown}.", expected=expected)

    def _unknown(self, path: Path, name: str, known: Any, what: str) -> BadPolicy:
        where = ".".join(path[:-1]) or "the file"
        return BadPolicy(
            f"{self._at(path)}: there is no {what} {name!r} in {where}.",
            expected=nearest(name, known),
        )

    def _at(self, path: Path) -> str:
        line = self._line(path)
        return f"{self._filename}:{line}" if line else self._filename

    def _line(self, path: Path) -> int:
        """Return the line of a key: the last table header on its way, then the key below it."""
        best, depth = 0, 0
        for number, text in enumerate(self._lines, 1):
            header = re.match(r"\s*\[([^\[\]]+)\]", text)
            if header:
                parts = tuple(p.strip().strip("\"'") for p in header[1].split("."))
                depth = len(parts) if path[: len(parts)] == parts else -1
                if depth > 0 and not best:
                    best = number
                if depth == len(path):
                    return number
                continue
            key = re.match(r"\s*([\w.\"'-]+)\s*=", text)
            if key and depth >= 0:
                parts = tuple(p.strip("\"'") for p in key[1].split("."))
                if path[depth : depth + len(parts)] == parts:
                    return number
        return best


def _choices(kind: type[msgspec.Struct], key: str) -> tuple[str, ...]:
    hints = {f.name: f.type for f in msgspec.structs.fields(kind)}
    choices = get_args(hints.get(key))
    flat = [c for choice in choices for c in (get_args(choice) or (choice,))]
    return tuple(c for c in flat if isinstance(c, str))
