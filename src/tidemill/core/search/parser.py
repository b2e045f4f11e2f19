"""Reads filters and orders: MLflow's grammar, with OR, NOT and parentheses beside it.

filter     := either
either     := both (OR both)*
both       := negation (AND negation)*
negation   := NOT negation | '(' either ')' | comparison
comparison := name ('=' | '!=' | '<' | '<=' | '>' | '>=' | LIKE | ILIKE | RLIKE) value
            | name NOT (LIKE | ILIKE | RLIKE) value
            | name [NOT] IN '(' value (',' value)* ')'
            | name IS [NOT] NULL
name       := [kind '.'] key      a key with blanks stands in `backticks` or "double quotes"
value      := 'text' | "text" | number
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

import msgspec

from tidemill.core.search.errors import BadSearch
from tidemill.core.search.syntax import Both, Comparison, Either, Negation, Node, Operator, Order

MAX_LENGTH = 64_000
MAX_COMPARISONS = 200
MAX_DEPTH = 50
MAX_ITEMS = 1000

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<name>[A-Za-z_]\w*\.(?:`[^`]+`|"[^"]+"|\w[\w.\-/]*)|`[^`]+`|[A-Za-z_]\w*)
    | (?P<text>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)(?!\w)
    | (?P<mark><=|>=|!=|<>|==|[=<>(),])
    )""",
    re.VERBOSE,
)
_ORDER = re.compile(
    r"""\s*(?P<name>(?:[A-Za-z_]\w*\.)?(?:`[^`]+`|"[^"]+"|\w[\w\-/]*(?:\.[\w\-/]+)*))"""
    r"(?:\s+(?P<way>asc|desc))?\s*",
    re.IGNORECASE,
)
_MEMBER = re.compile(r"""(?:`[^`]*`|"[^"]*"|[^,])+""")
_COMPARE: dict[str, Operator] = {
    "=": "=", "==": "=", "!=": "!=", "<>": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">=",
}  # fmt: skip
_LIKE: dict[str, Operator] = {"LIKE": "LIKE", "ILIKE": "ILIKE", "RLIKE": "RLIKE", "REGEXP": "RLIKE"}


class _Token(msgspec.Struct, frozen=True):
    group: str
    text: str

    @property
    def word(self) -> str:
        """The token in capitals, where it can be a keyword; else nothing."""
        return self.text.upper() if self.group in {"name", "mark"} else ""


def parse_filter(text: str) -> Node | None:
    """Read a filter; nothing where it is empty.

    Raises:
        BadSearch: It cannot be read, or is too long or too deep.

    Example:
        >>> parse_filter("metrics.auc > 0.7")
        Comparison(kind='metrics', key='auc', operator='>', value=0.7)
        >>> parse_filter("NOT (a = 'x' OR tags.`b c` IS NULL)").part.parts[1].key
        'b c'
    """
    if len(text) > MAX_LENGTH:
        raise BadSearch(
            f"The filter has {len(text):,} characters.", expected=f"at most {MAX_LENGTH:,}"
        )
    if "\x00" in text or not _is_unicode(text):
        raise BadSearch("The filter has characters that no text has.", expected="Unicode text")
    tokens = list(_tokens(text))
    if not tokens:
        return None
    reader = _Reader(text, tokens)
    node = reader.either(0)
    if not reader.done:
        raise reader.wrong()
    return node


def split_order(text: str) -> list[str]:
    """Part the members of an order, such as `metrics.auc DESC, start_time`.

    Example:
        >>> split_order("metrics.`a, b` DESC, start_time")
        ['metrics.`a, b` DESC', 'start_time']
    """
    return [part.strip() for part in _MEMBER.findall(text) if part.strip()]


def parse_order(text: str) -> Order:
    """Read one member of an order, such as `metrics.auc DESC`.

    Raises:
        BadSearch: It cannot be read.

    Example:
        >>> parse_order("metrics.`val loss` desc")
        Order(kind='metrics', key='val loss', descending=True)
    """
    match = _ORDER.fullmatch(text) if len(text) <= MAX_LENGTH and _is_unicode(text) else None
    if match is None:
        raise BadSearch(
            f"Invalid order_by clause {text[:200]!r}.",
            expected="a name and, if wished, ASC or DESC, such as: metrics.auc DESC",
        )
    kind, key = _split(match["name"])
    return Order(kind, key, (match["way"] or "").upper() == "DESC")


class _Reader:
    """Walks along the tokens; each method reads one rule of the grammar."""

    def __init__(self, text: str, tokens: Sequence[_Token]) -> None:
        self._text = text
        self._tokens = tokens
        self._at = 0
        self._comparisons = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._tokens)

    def wrong(self) -> BadSearch:
        """Return the error for what stands here."""
        here = "its end" if self.done else repr(self._tokens[self._at].text[:60])
        return BadSearch(
            f"Invalid clause(s) in filter string: {self._text[:200]!r}, at {here}.",
            expected="comparisons such as metrics.auc > 0.7 or params.depth = '3', "
            "joined by AND, OR, NOT and parentheses",
        )

    def either(self, depth: int) -> Node:
        parts = [self._both(depth)]
        while self._take("OR"):
            parts.append(self._both(depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _both(self, depth: int) -> Node:
        parts = [self._negation(depth)]
        while self._take("AND"):
            parts.append(self._negation(depth))
        return parts[0] if len(parts) == 1 else Both(tuple(parts))

    def _negation(self, depth: int) -> Node:
        if depth > MAX_DEPTH:
            raise BadSearch("The filter is too deep.", expected=f"at most {MAX_DEPTH} levels")
        if self._take("NOT"):
            return Negation(self._negation(depth + 1))
        if self._take("("):
            inner = self.either(depth + 1)
            self._need(")")
            return inner
        return self._comparison()

    def _comparison(self) -> Node:
        self._comparisons += 1
        if self._comparisons > MAX_COMPARISONS:
            raise BadSearch(
                f"The filter has more than {MAX_COMPARISONS} comparisons.",
                expected=f"at most {MAX_COMPARISONS}",
            )
        kind, key = self._name()
        if self._take_unlike():
            alike = Comparison(kind, key, self._operator(), self._value())
            # As with NOT IN, what is not there is not compared.
            return Both((Comparison(kind, key, "IS NOT NULL"), Negation(alike)))
        operator = self._operator()
        if operator in {"IS NULL", "IS NOT NULL"}:
            return Comparison(kind, key, operator)
        if operator in {"IN", "NOT IN"}:
            return Comparison(kind, key, operator, self._items())
        return Comparison(kind, key, operator, self._value())

    def _name(self) -> tuple[str, str]:
        token = self._next()
        if token.group == "name":
            return _split(token.text)
        if token.group == "text" and token.text[0] == '"':
            return "", token.text[1:-1]
        self._at -= 1
        raise self.wrong()

    def _operator(self) -> Operator:
        word = self._next().word
        if word in _COMPARE:
            return _COMPARE[word]
        if word in _LIKE:
            return _LIKE[word]
        if word == "IS":
            negated = self._take("NOT")
            self._need("NULL")
            return "IS NOT NULL" if negated else "IS NULL"
        if word == "NOT" and self._take("IN"):
            return "NOT IN"
        if word == "IN":
            return "IN"
        self._at -= 1
        raise self.wrong()

    def _take_unlike(self) -> bool:
        """Go past a NOT that stands before a LIKE."""
        after = self._tokens[self._at + 1 : self._at + 2]
        return bool(after) and after[0].word in _LIKE and self._take("NOT")

    def _items(self) -> tuple[str | float | int, ...]:
        self._need("(")
        items = [self._value()]
        while self._take(","):
            items.append(self._value())
            if len(items) > MAX_ITEMS:
                raise BadSearch(
                    f"A list has more than {MAX_ITEMS:,} members.",
                    expected=f"at most {MAX_ITEMS:,}",
                )
        self._need(")")
        return tuple(items)

    def _value(self) -> str | float | int:
        token = self._next()
        if token.group == "text":
            quote = token.text[0]
            return token.text[1:-1].replace(quote * 2, quote)
        if token.group == "number":
            return _number(token.text)
        self._at -= 1
        raise self.wrong()

    def _next(self) -> _Token:
        if self.done:
            raise self.wrong()
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, word: str) -> bool:
        if self.done or self._tokens[self._at].word != word:
            return False
        self._at += 1
        return True

    def _need(self, word: str) -> None:
        if not self._take(word):
            raise self.wrong()


def _tokens(text: str) -> Iterator[_Token]:
    at, end = 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise BadSearch(
                f"Invalid clause(s) in filter string: {text[:200]!r}, at {text[at : at + 20]!r}.",
                expected="names, numbers, quoted texts and =, !=, <, <=, >, >=",
            )
        yield _Token(match.lastgroup, match[match.lastgroup])
        at = match.end()


def _split(name: str) -> tuple[str, str]:
    """Part `kind.key`, and take the quotes off the key."""
    if name[0] in '`"':
        return "", name[1:-1]
    kind, dot, key = name.partition(".")
    if not dot:
        return "", name
    return kind, key[1:-1] if key[0] in '`"' else key


def _number(text: str) -> float | int:
    try:
        return int(text) if len(text) < 20 else float(text)
    except ValueError:
        return float(text)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
