"""The contract as a file that people edit and keep in git."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec

from tidemill.core.contract import Column, ColumnType, Contract, Role
from tidemill.core.errors import nearest
from tidemill.core.policy.lines import locate
from tidemill.datasets.errors import BadContract

_HEAD = """\
# The contract of the dataset: what its columns are, and what must hold of every batch.
# Tidemill wrote this from the first data. Edit it: add min, max, values, unique, nullable,
# max_null_rate to a column; min_rows, max_rows, max_age_seconds, extra_columns to the whole.
"""


_ONCE: tuple[Role, ...] = ("label", "key", "time")
"""Roles that one column has at the most."""
_VALUES: dict[ColumnType, type] = {"bool": bool, "int": int, "string": str}
_CHOICES: dict[str, tuple[str, ...]] = {
    "type": get_args(ColumnType),
    "role": get_args(Role),
    "extra_columns": ("ignore", "refuse"),
}


def read_contract(path: Path) -> Contract:
    """Read a contract's file.

    Raises:
        BadContract: The file cannot be read, or says something that a contract cannot.
    """
    try:
        text = path.read_text("utf-8-sig")
        content = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise BadContract(f"{path} cannot be read: {error}.", expected="a TOML file") from error
    return _Reader(str(path), locate(text.replace("\r\n", "\n"))).contract(content)


def write_contract(path: Path, contract: Contract) -> None:
    """Write a contract's file, whole or not at all."""
    lines = [_HEAD]
    whole = msgspec.to_builtins(contract)
    lines += [f"{key} = {_value(value)}" for key, value in whole.items() if key != "columns"]
    for column in whole["columns"]:
        lines.append(f"\n[columns.{_key(column['name'])}]")
        lines += [f"{key} = {_value(value)}" for key, value in column.items() if key != "name"]
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_suffix(".part")
    draft.write_text("\n".join(lines) + "\n", "utf-8")
    draft.replace(path)


class _Reader:
    def __init__(self, filename: str, lines: dict[tuple[str, ...], int]) -> None:
        self._filename = filename
        self._lines = lines

    def contract(self, content: dict[str, Any]) -> Contract:
        columns = content.pop("columns", None)
        if not isinstance(columns, dict) or not columns:
            raise self._mistake((), "names no columns", "a table [columns.NAME] for each")
        read = tuple(self._column(name, rules) for name, rules in columns.items())
        for role in _ONCE:
            owners = [c.name for c in read if c.role == role]
            if len(owners) > 1:
                where = ("columns", owners[1], "role")
                said = f"the columns {owners[0]!r} and {owners[1]!r} are both the {role}"
                raise self._mistake(where, said, f"one {role}")
        whole: Contract = self._record({**content, "columns": read}, (), Contract, "")
        most = whole.max_rows
        if most is not None and most < whole.min_rows:
            said = f"min_rows is {whole.min_rows:,} and max_rows {most:,}"
            raise self._mistake(("max_rows",), said, "a maximum that is not below the minimum")
        return whole

    def _column(self, name: str, rules: object) -> Column:
        path = ("columns", name)
        if not isinstance(rules, dict):
            raise self._mistake(path, f"column {name!r} is {rules!r}", "a table of rules")
        if "name" in rules:
            said = f"column {name!r} has a rule 'name'"
            raise self._mistake((*path, "name"), said, "the name in the brackets only")
        where = f" of column {name!r}"
        column: Column = self._record({"name": name, **rules}, path, Column, where)
        for key, said, expected in _contradictions(column):
            raise self._mistake((*path, key), f"column {name!r} {said}", expected)
        return column

    def _record(
        self, table: dict[str, Any], path: tuple[str, ...], kind: type[msgspec.Struct], where: str
    ) -> Any:
        known = kind.__struct_fields__
        for key in table:
            if key not in known:
                said = f"there is no rule {key!r}{where}"
                raise self._mistake((*path, key), said, nearest(key, known))
        try:
            return msgspec.convert(table, kind)
        except msgspec.ValidationError as error:
            said, _, place = str(error).partition(" - at `$.")
            key = place.split("[")[0].rstrip("`")
            if not key:
                raise self._mistake(path, f"{said[:1].lower()}{said[1:]}{where}", "") from error
            expected = said.removeprefix("Expected ")
            choices = _CHOICES.get(key)
            if choices is not None:
                expected = nearest(str(table[key]), choices)
            said = f"{key}{where} is {table[key]!r}"
            raise self._mistake((*path, key), said, expected) from error

    def _mistake(self, path: tuple[str, ...], what: str, expected: str) -> BadContract:
        nearby = (path[:end] for end in range(len(path), 0, -1))
        line = next((self._lines[p] for p in nearby if p in self._lines), 1)
        return BadContract(f"{self._filename}:{line}: {what}.", expected=expected)


def _contradictions(column: Column) -> Iterator[tuple[str, str, str]]:
    """Go through what rules of one column cannot mean: the rule, what is said, what could be."""
    limits = (("min", column.min), ("max", column.max))
    for key, value in limits:
        if value is not None and column.type not in {"int", "float"}:
            yield key, f"is of type {column.type} and has a {key}", f"no {key}, or numbers"
        if value is not None and math.isnan(value):
            yield key, f"has the {key} nan", "a number"
    if column.min is not None and column.max is not None and column.min > column.max:
        yield "min", f"has a min of {column.min:g} and a max of {column.max:g}", "min below max"
    if column.max_null_rate is not None and not 0 <= column.max_null_rate <= 1:
        yield "max_null_rate", f"has a max_null_rate of {column.max_null_rate:g}", "0 to 1"
    if column.values is not None:
        fitting = _VALUES.get(column.type)
        if fitting is None:
            yield "values", f"is of type {column.type} and has values", "no values"
        foreign = [v for v in column.values if type(v) is not fitting]
        if fitting is not None and foreign:
            yield "values", f"allows {foreign[0]!r}", f"values of its type, {column.type}"
        if not column.values:
            yield "values", "allows no value at all", "at least one value"
    if column.role == "time" and column.type not in {"datetime", "date"}:
        yield "role", f"is the time and of type {column.type}", "type datetime or date"


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else _value(name)


def _value(value: Any) -> str:
    """JSON's scalars and lists of them are TOML's too, but for DEL, which must be escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
