"""The contract as a file that people edit and keep in git."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import msgspec

from tidemill.core.contract import Column, Contract
from tidemill.core.errors import nearest
from tidemill.datasets.errors import BadContract

_HEAD = """\
# The contract of the dataset: what its columns are, and what must hold of every batch.
# Tidemill wrote this from the first data. Edit it: add min, max, values, unique, nullable,
# max_null_rate to a column; min_rows, max_rows, max_age_seconds, extra_columns to the whole.
"""


def read_contract(path: Path) -> Contract:
    """Read a contract's file.

    Raises:
        BadContract: The file cannot be read, or says something that a contract cannot.
    """
    try:
        content = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadContract(f"{path} cannot be read: {error}.", expected="a TOML file") from error
    columns = content.pop("columns", None)
    if not isinstance(columns, dict) or not columns:
        raise BadContract(f"{path} names no columns.", expected="a table [columns.NAME] for each")
    listed = [{"name": name, **_table(path, name, rules)} for name, rules in columns.items()]
    _check_keys(path, content, listed)
    try:
        return msgspec.convert({**content, "columns": listed}, Contract)
    except msgspec.ValidationError as error:
        raise BadContract(f"{path} is not a contract: {error}.") from error


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


def _table(path: Path, name: str, rules: object) -> dict[str, Any]:
    if not isinstance(rules, dict):
        raise BadContract(f"{path}: column {name!r} is {rules!r}.", expected="a table of rules")
    return rules


def _check_keys(path: Path, whole: dict[str, Any], columns: list[dict[str, Any]]) -> None:
    for kind, tables in ((Contract, [whole]), (Column, columns)):
        known = kind.__struct_fields__
        for table in tables:
            for key in table:
                if key not in known:
                    where = f" of column {table['name']!r}" if "name" in table else ""
                    raise BadContract(
                        f"{path}: there is no rule {key!r}{where}.", expected=nearest(key, known)
                    )


def _key(name: str) -> str:
    plain = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return name if plain else _value(name)


def _value(value: Any) -> str:
    """JSON's scalars and lists of them are TOML's too, but for DEL, which must be escaped."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
