"""Turns filters and orders into conditions over a room's tables. All values are bound.

A room says what can be searched (`Entity`); the grammar is `core.search`'s. A comparison with
something that is not there is false, and its negation therefore true: logic here has two values,
never SQL's third.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import (
    BigInteger,
    Boolean,
    ColumnElement,
    Table,
    and_,
    case,
    exists,
    false,
    func,
    literal,
    not_,
    or_,
    select,
    type_coerce,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from tidemill.core.search.errors import BadSearch
from tidemill.core.search.parser import parse_filter, parse_order
from tidemill.core.search.syntax import Both, Comparison, Either, Negation, Node, Order
from tidemill.storage.db.patterns import checked_pattern

T = TypeVar("T")
_KINDS = {
    "metric": "metric",
    "metrics": "metric",
    "param": "parameter",
    "params": "parameter",
    "parameter": "parameter",
    "parameters": "parameter",
    "tag": "tag",
    "tags": "tag",
    "attribute": "attribute",
    "attributes": "attribute",
    "attr": "attribute",
    "run": "attribute",
    "dataset": "dataset",
    "datasets": "dataset",
    "": "attribute",
}
_OF_DATASETS = ("name", "digest", "context")
_NUMERIC = {"=", "!=", "<", "<=", ">", ">="}


class Page(msgspec.Struct, Generic[T], frozen=True):
    """Some results, and where the next begin.

    Attributes:
        items: The results.
        token: Hand it in for the next page; nothing on the last.
    """

    items: list[T]
    token: str | None = None


class Attribute(msgspec.Struct, frozen=True):
    """A searchable column: its expression, and whether it is a number."""

    column: ColumnElement[Any]
    numeric: bool = False


class Entity(msgspec.Struct, frozen=True):
    """What can be searched: its attributes and the tables of what hangs on it.

    Attributes:
        links: Columns of the other tables, each with the column that it points to.
        attributes: By every name that each may be called.
        texts: Tables of text values, by kind.
        numbers: The table of numbers, if there is one.
        datasets: The table of datasets that were read, if there is one.
        defaults: What a text that is not there reads as, by kind and key.
    """

    links: Mapping[str, ColumnElement[Any]]
    attributes: dict[str, Attribute]
    texts: dict[str, Table]
    numbers: Table | None = None
    datasets: Table | None = None
    defaults: Mapping[tuple[str, str], str] = {}

    def mine(self, table: Table) -> ColumnElement[bool]:
        """Return the condition that a row of another table hangs on this thing."""
        return and_(*(table.c[name] == column for name, column in self.links.items()))


def millis(column: ColumnElement[Any]) -> ColumnElement[int]:
    return type_coerce(column, BigInteger) // 1000


def condition(entity: Entity, text: str) -> list[ColumnElement[bool]]:
    """Return the conditions that a filter states: one, or none where it is empty.

    Raises:
        BadSearch: It cannot be read, or names what cannot be searched.
    """
    node = parse_filter(text)
    return [] if node is None else [_node(entity, node)]


def ordering(
    entity: Entity, clauses: Sequence[str], last: Sequence[ColumnElement[Any]]
) -> list[ColumnElement[Any]]:
    """Return the columns of an order, with those that decide between equals at the end.

    What is missing comes last in both directions, and not-a-number just before it.

    Raises:
        BadSearch: A clause cannot be read, or names what cannot be ordered by.
    """
    columns: list[ColumnElement[Any]] = []
    for clause in clauses:
        columns += _ordered(entity, parse_order(clause))
    return [*columns, *last]


def page(read: Callable[[int, int], list[T]], limit: int, token: str | None) -> Page[T]:
    """Read one page by limit and offset.

    Raises:
        BadSearch: The token is not one that a page gave.
    """
    offset = offset_of(token)
    found = read(limit + 1, offset)
    return Page(found[:limit], token_of(offset + limit) if len(found) > limit else None)


def token_of(offset: int) -> str:
    """Return the token of an offset.

    Example:
        >>> offset_of(token_of(100))
        100
    """
    return base64.b64encode(msgspec.json.encode({"offset": offset})).decode()


def offset_of(token: str | None) -> int:
    """Return the offset of a token.

    Raises:
        BadSearch: It is none.
    """
    if not token:
        return 0
    try:
        offset = msgspec.json.decode(
            base64.b64decode(token, validate=True), type=dict[str, int]
        ).get("offset", -1)
    except (ValueError, msgspec.MsgspecError) as error:
        raise BadSearch(
            "Invalid page token, could not base64-decode", expected="a token"
        ) from error
    if not 0 <= offset < 2**62:
        raise BadSearch("Invalid page token, its offset cannot be", expected="a token")
    return offset


def _node(entity: Entity, node: Node) -> ColumnElement[bool]:
    match node:
        case Both(parts):
            return and_(*(_node(entity, part) for part in parts))
        case Either(parts):
            return or_(*(_node(entity, part) for part in parts))
        case Negation(part):
            return not_(_node(entity, part))
        case Comparison():
            return _comparison(entity, node)


def _comparison(entity: Entity, node: Comparison) -> ColumnElement[bool]:
    kind = _kind(entity, node.kind)
    if kind == "attribute":
        attribute = _attribute(entity, node.key)
        return _on_attribute(attribute, node)
    if kind == "dataset":
        return _on_dataset(entity, node)
    table = entity.numbers if kind == "metric" else entity.texts[kind]
    assert table is not None
    there = [entity.mine(table), table.c.key == node.key]
    default = entity.defaults.get((kind, node.key))
    if default is not None:
        value = select(table.c.value).where(*there).scalar_subquery()
        return _on_text(func.coalesce(value, default), node)
    if node.operator == "IS NULL":
        return not_(exists().where(*there))
    if node.operator == "IS NOT NULL":
        return exists().where(*there)
    test = _on_metric(table, node) if kind == "metric" else _on_text(table.c.value, node)
    return exists().where(*there, test)


def _on_dataset(entity: Entity, node: Comparison) -> ColumnElement[bool]:
    table = entity.datasets
    assert table is not None
    if node.key not in _OF_DATASETS:
        raise BadSearch(
            f"Invalid dataset key {node.key!r} specified. Valid keys are {list(_OF_DATASETS)}",
            expected="one of these",
        )
    return exists().where(entity.mine(table), _on_text(table.c[node.key], node))


def _on_attribute(attribute: Attribute, node: Comparison) -> ColumnElement[bool]:
    column = attribute.column
    if node.operator == "IS NULL":
        return column.is_(None)
    if node.operator == "IS NOT NULL":
        return column.is_not(None)
    test = _on_number(column, node) if attribute.numeric else _on_text(column, node)
    return func.coalesce(test, false())


def _on_metric(table: Table, node: Comparison) -> ColumnElement[bool]:
    test = _on_number(table.c.value, node)
    if node.operator == "!=":
        return or_(table.c.nan, test)
    return and_(not_(table.c.nan), test)


def _on_number(column: ColumnElement[Any], node: Comparison) -> ColumnElement[bool]:
    value = node.value
    if node.operator not in _NUMERIC:
        raise BadSearch(
            f"Invalid comparison operator {node.operator!r} for {node.key!r}, which is a number.",
            expected="one of " + ", ".join(sorted(_NUMERIC)),
        )
    if not isinstance(value, int | float):
        raise BadSearch(
            f"Expected numeric value type for {node.key!r}. Found {value!r}.",
            expected="a number without quotes",
        )
    if isinstance(value, int) and abs(value) >= 2**63:
        value = float(value)
    return _compare(column, node.operator, value)


def _on_text(column: ColumnElement[Any], node: Comparison) -> ColumnElement[bool]:
    value = node.value
    values = value if isinstance(value, tuple) else (value,)
    if not all(isinstance(v, str) for v in values):
        raise BadSearch(
            f"Expected a quoted string value for {node.key!r}. Found {value!r}.",
            expected="a text in quotes, such as 'abc'",
        )
    if node.operator == "IN":
        return column.in_(values)
    if node.operator == "NOT IN":
        return column.not_in(values)
    text = str(value)
    if node.operator == "LIKE":
        return CaseLike(column, literal(text), literal(glob_of(text)))
    if node.operator == "ILIKE":
        return func.lower(column).like(text.lower(), escape=_NO_ESCAPE)
    if node.operator == "RLIKE":
        return Matches(column, literal(checked_pattern(text)))
    if node.operator not in {"=", "!="}:
        raise BadSearch(
            f"Invalid comparison operator {node.operator!r} for {node.key!r}, which is a text.",
            expected="one of =, !=, LIKE, ILIKE, RLIKE, IN, NOT IN",
        )
    return _compare(column, node.operator, text)


_NO_ESCAPE = "\x01"


class CaseLike(FunctionElement[bool]):
    """LIKE that minds the case: SQLite's own would not, its GLOB does."""

    type = Boolean()
    inherit_cache = True
    name = "case_like"


@compiles(CaseLike)
def _write_like(element: CaseLike, compiler: Any, **options: Any) -> str:
    column, pattern, _ = element.clauses
    return (
        f"{compiler.process(column, **options)} LIKE {compiler.process(pattern, **options)} "
        "ESCAPE ''"
    )


@compiles(CaseLike, "sqlite")
def _write_glob(element: CaseLike, compiler: Any, **options: Any) -> str:
    column, _, pattern = element.clauses
    return f"{compiler.process(column, **options)} GLOB {compiler.process(pattern, **options)}"


class Matches(FunctionElement[bool]):
    """Whether a regular expression is found in a text."""

    type = Boolean()
    inherit_cache = True
    name = "matches"


@compiles(Matches)
def _write_matches(element: Matches, compiler: Any, **options: Any) -> str:
    column, pattern = element.clauses
    return f"{compiler.process(column, **options)} ~ {compiler.process(pattern, **options)}"


@compiles(Matches, "sqlite")
def _write_regexp(element: Matches, compiler: Any, **options: Any) -> str:
    column, pattern = element.clauses
    return f"{compiler.process(column, **options)} REGEXP {compiler.process(pattern, **options)}"


def glob_of(pattern: str) -> str:
    """Write a LIKE pattern as a GLOB.

    Example:
        >>> glob_of("a_b%[*]")
        'a?b*[[][*]]'
    """
    special = {"%": "*", "_": "?", "[": "[[]", "*": "[*]", "?": "[?]"}
    return "".join(special.get(c, c) for c in pattern)


def _compare(column: ColumnElement[Any], operator: str, value: Any) -> ColumnElement[bool]:
    return column.op(operator, is_comparison=True)(value)


def _ordered(entity: Entity, order: Order) -> list[ColumnElement[Any]]:
    kind = _kind(entity, order.kind)
    if kind == "dataset":
        raise BadSearch(f"Invalid order_by entity {order.kind!r}.", expected="no dataset")
    if kind == "attribute":
        column = _attribute(entity, order.key).column
        missing: ColumnElement[Any] = case((column.is_(None), 1), else_=0)
    else:
        table = entity.numbers if kind == "metric" else entity.texts[kind]
        assert table is not None
        row = (entity.mine(table), table.c.key == order.key)
        column = select(table.c.value).where(*row).limit(1).scalar_subquery()
        missing = case((column.is_(None), 2), else_=0)
        if kind == "metric":
            nan = select(table.c.nan).where(*row).limit(1).scalar_subquery()
            missing = case((nan.is_(None), 2), (nan, 1), else_=0)
    return [missing, column.desc() if order.descending else column.asc()]


def _kind(entity: Entity, written: str) -> str:
    kind = _KINDS.get(written)
    known = ["attribute", *entity.texts]
    known += [] if entity.numbers is None else ["metric"]
    known += [] if entity.datasets is None else ["dataset"]
    if kind not in known:
        raise BadSearch(
            f"Invalid entity type {written!r}. Valid values are {sorted(known)}",
            expected="a kind of thing that can be searched",
        )
    return kind


def _attribute(entity: Entity, key: str) -> Attribute:
    if key not in entity.attributes:
        raise BadSearch(
            f"Invalid attribute key {key!r} specified. Valid keys are {sorted(entity.attributes)}",
            expected="one of these",
        )
    return entity.attributes[key]
