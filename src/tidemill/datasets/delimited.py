"""What can be wrong with a CSV file, found and said before it is read.

The reader that follows is fast and forgiving: it fills a row that is too short, renames a column
that comes twice, and reads a file with the wrong separator as one column. Data with such damage
should be refused, and the line named.
"""

from __future__ import annotations

import codecs
import csv
from pathlib import Path

import polars as pl

from tidemill.datasets.errors import UnreadableData

MISSING = ("", "NA", "NaN", "nan", "null", "NULL")
"""What stands for a missing value."""
_SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "bars"}
_OTHER_ENCODINGS = ((codecs.BOM_UTF16_LE, "UTF-16"), (codecs.BOM_UTF16_BE, "UTF-16"))
_LINE = "line"


def check(path: Path) -> list[str]:
    """Look for damage that reading would hide, and return the names of the columns.

    Raises:
        UnreadableData: The file is not UTF-8, has no rows, a column twice, another separator than
            commas, or a row with more or fewer fields than the header.
    """
    names = _header(path)
    broken = _first_ragged(path, len(names))
    if broken is not None:
        line, fields = broken
        raise UnreadableData(
            f"{path.name} has {fields} fields in line {line:,}, and its header names {len(names)}.",
            expected="as many fields in each line as in the header",
            hint="A last line that is too short is the mark of a file that was cut off.",
        )
    return names


def _header(path: Path) -> list[str]:
    with path.open("rb") as file:
        start = file.read(4)
    for mark, encoding in _OTHER_ENCODINGS:
        if start.startswith(mark):
            raise _not_utf8(path, f"it is {encoding}")
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            lines = csv.reader(file)
            names = next((line for line in lines if line), [])
            first = next((line for line in lines if line), None)
    except UnicodeDecodeError as error:
        raise _not_utf8(path, _first_bad_line(path)) from error
    except csv.Error as error:
        raise UnreadableData(f"{path.name} is no CSV file: {error}.", expected="CSV") from error
    if not names:
        raise UnreadableData(f"{path.name} is empty.", expected="a header and at least one row")
    _check_separator(path, names)
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UnreadableData(
            f"{path.name} has more than one column {twice[0]!r}.", expected="each name once"
        )
    if first is None:
        raise UnreadableData(f"{path.name} has a header and no rows.", expected="at least one row")
    return names


def _check_separator(path: Path, names: list[str]) -> None:
    found = [word for sign, word in _SEPARATORS.items() if len(names) == 1 and sign in names[0]]
    if found:
        raise UnreadableData(
            f"The columns of {path.name} are parted by {found[0]}.", expected="commas between them"
        )


def _first_ragged(path: Path, columns: int) -> tuple[int, int] | None:
    """Return the line of the first row with another number of fields, and that number."""
    if columns == 1:
        return None
    try:
        suspect = _has_suspect(path, columns)
    except pl.exceptions.PolarsError as error:
        raise _not_utf8(path, _first_bad_line(path)) from error
    if not suspect:
        return None
    # A line may be the middle of a quoted text: only a reader of quotes can tell.
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        for row in rows:
            if row and len(row) != columns:
                return rows.line_num, len(row)
    return None


def _has_suspect(path: Path, columns: int) -> bool:
    """Whether a line without quotes has another number of commas than the header."""
    line = pl.col(_LINE)
    plain = ~line.str.contains('"', literal=True) & (line.str.strip_chars() != "")
    other = line.str.count_matches(",", literal=True) != columns - 1
    query = pl.scan_lines(path, name=_LINE).select((plain & other).any())
    return bool(query.collect(engine="streaming").item())


def _first_bad_line(path: Path) -> str:
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                line.decode("utf-8")
            except UnicodeDecodeError as error:
                return f"line {number:,} has the byte 0x{line[error.start]:02x}"
    return "its bytes are no text"


def _not_utf8(path: Path, why: str) -> UnreadableData:
    return UnreadableData(
        f"{path.name} is not UTF-8 text: {why}.", expected="a CSV file saved as UTF-8"
    )
