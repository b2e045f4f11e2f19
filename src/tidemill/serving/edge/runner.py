"""Runs a Tidemill edge bundle. Needs Python 3.10, onnxruntime and numpy, and nothing else.

    python runner.py describe
    python runner.py verify  --key HEX
    python runner.py predict --key HEX < rows.json
    python runner.py predict --key HEX --input rows.csv --to csv

or, from Python, `from runner import Model; Model(folder, key=HEX).predict({"temp": [3.5]})`.

Before anything is loaded, the Ed25519 signature and the SHA-256 of every file are checked. The key
is the signer's: pin it with --key or TIDEMILL_EDGE_KEY. Without it, the key that lies in the
bundle is used, which finds damage but not a forger, and the runner says so.

Rows come as JSON (a record, a list of records, or an object of columns) or as CSV with a header
(an empty field is a missing value). Exit codes: 0 done, 1 not to be trusted, 2 wrong usage,
5 rows that do not fit.
"""

from __future__ import annotations

import argparse
import base64
import csv
import hashlib
import json
import math
import os
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np

MODEL, DESCRIPTION = "model.onnx", "edge.json"
SIGNATURE, SIGNER = "signature.dsse.json", "signer.pub"
PREDICATE_TYPE = "urn:tidemill:edge-bundle:1"
MISSING_TEXT = "\uffff"
_LARGEST = sys.float_info.max
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_Absent = TypeVar("_Absent", float, str)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)  # noqa: UP017 - Python 3.10


class NotTrusted(Exception):
    """The bundle is not the one that was signed."""


class InvalidRows(Exception):
    """The rows do not fit the model's contract."""


class Model:
    """A verified bundle, ready to answer.

    Args:
        folder: Where the bundle lies; the runner's own folder where it is left out.
        key: The signer's public key as 64 hexadecimal digits.
        threads: How many threads one call may use.

    Raises:
        NotTrusted: A file or the signature is not what it should be.
    """

    def __init__(
        self, folder: Path | str | None = None, *, key: str | None = None, threads: int = 1
    ) -> None:
        import onnxruntime

        files, self.provenance = verify(Path(folder or Path(__file__).parent), key)
        self.description: dict[str, Any] = json.loads(files[DESCRIPTION])
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(
            files[MODEL], options, providers=["CPUExecutionProvider"]
        )
        outputs = [o.name for o in self._session.get_outputs()]
        self._outputs = [o for o in outputs if o == "probabilities"] or outputs[-1:]

    def predict(self, columns: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        """Answer for rows: a `prediction` each, and a `score` or `scores` of a classifier.

        Raises:
            InvalidRows: They do not fit the contract.
        """
        feeds = self._feeds(columns)
        output = np.asarray(self._session.run(self._outputs, feeds)[0], dtype=np.float64)
        task = self.description["task"]
        if task == "regression":
            return [{"prediction": value} for value in output.reshape(-1).tolist()]
        return self._binary(output) if task == "binary" else self._multiclass(output)

    def _feeds(self, columns: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        features = self.description["features"]
        numbers = [c for c in features if c["type"] != "string"]
        texts = [c for c in features if c["type"] == "string"]
        rows = _count(features, columns)
        matrix = np.empty((rows, len(numbers)), dtype=np.float64)
        for at, column in enumerate(numbers):
            matrix[:, at] = [_number(column, v) for v in columns[column["name"]]]
        words = np.empty((rows, len(texts)), dtype=object)
        for at, column in enumerate(texts):
            words[:, at] = [_text(column, v) for v in columns[column["name"]]]
        if self.description["layout"] == "grouped":
            groups = ([matrix] if numbers else []) + ([words] if texts else [])
            found = dict(zip((i.name for i in self._session.get_inputs()), groups, strict=True))
        else:
            found = {c["name"]: matrix[:, [i]] for i, c in enumerate(numbers)}
            found.update({c["name"]: words[:, [i]] for i, c in enumerate(texts)})
        kinds = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(bool)": np.bool_}
        return {
            i.name: found[i.name].astype(kinds[i.type]) if i.type in kinds else found[i.name]
            for i in self._session.get_inputs()
        }

    def _binary(self, output: Any) -> list[dict[str, Any]]:
        classes, positive = self.description["classes"], self.description["positive"]
        yes = classes.index(positive)
        if output.ndim == 2 and output.shape[1] == 2:
            scores = output[:, yes]
        else:
            scores = output.reshape(-1) if yes else 1.0 - output.reshape(-1)
        names = [classes[1 - yes], positive]
        threshold = self.description["threshold"]
        return [{"prediction": names[s >= threshold], "score": s} for s in scores.tolist()]

    def _multiclass(self, output: Any) -> list[dict[str, Any]]:
        classes = self.description["classes"]
        return [
            {
                "prediction": classes[int(np.argmax(row))],
                "scores": {str(c): p for c, p in zip(classes, row.tolist(), strict=True)},
            }
            for row in output
        ]


# The bundle -------------------------------------------------------------------------------------


def verify(folder: Path, key: str | None = None) -> tuple[dict[str, bytes], dict[str, Any]]:
    """Check the signature and every file, and return their content and where the model is from.

    Raises:
        NotTrusted: Something is missing, changed, or signed by another key.
    """
    envelope = _json(_read(folder, SIGNATURE), SIGNATURE)
    own = _read(folder, SIGNER).decode("ascii", "replace").strip().lower()
    wanted = (key or own).strip().lower()
    if not re.fullmatch("[0-9a-f]{64}", wanted):
        raise NotTrusted("the key is no Ed25519 public key of 64 hexadecimal digits")
    try:
        payload = base64.b64decode(envelope["payload"], validate=True)
        kind = str(envelope["payloadType"])
        signatures = [
            base64.b64decode(s["sig"], validate=True) for s in list(envelope["signatures"])
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise NotTrusted(f"{SIGNATURE} is no DSSE envelope") from error
    message = b"DSSEv1 %d %s %d %s" % (len(kind.encode()), kind.encode(), len(payload), payload)
    if not any(verify_ed25519(bytes.fromhex(wanted), message, s) for s in signatures):
        raise NotTrusted(f"{SIGNATURE} was not signed by the key {wanted[:12]}…")
    return _signed_files(folder, _json(payload, "the signed statement"))


def _signed_files(
    folder: Path, statement: dict[str, Any]
) -> tuple[dict[str, bytes], dict[str, Any]]:
    if statement.get("predicateType") != PREDICATE_TYPE:
        raise NotTrusted("what was signed is no edge bundle")
    try:
        signed = [(str(s["name"]), str(s["digest"]["sha256"])) for s in statement["subject"]]
        provenance = dict(statement["predicate"])
    except (KeyError, TypeError, ValueError) as error:
        raise NotTrusted("what was signed is no edge bundle") from error
    files: dict[str, bytes] = {}
    for name, digest in signed:
        content = _read(folder, name)
        if hashlib.sha256(content).hexdigest() != digest:
            raise NotTrusted(f"the file {name} has changed since it was signed")
        files[name] = content
    for name in (MODEL, DESCRIPTION):
        if name not in files:
            raise NotTrusted(f"the file {name} is not among the signed ones")
    return files, provenance


def _read(folder: Path, name: str) -> bytes:
    if not _NAME.fullmatch(name):
        raise NotTrusted(f"{name!r} cannot be a file of a bundle")
    path = folder / name
    if path.is_symlink() or not path.is_file():
        raise NotTrusted(f"the file {name} is missing")
    return path.read_bytes()


def _json(content: bytes, name: str) -> dict[str, Any]:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise NotTrusted(f"{name} is no JSON") from error
    if not isinstance(found, dict):
        raise NotTrusted(f"{name} is no JSON object")
    return found


# Ed25519, RFC 8032, section 5.1; verification only, so nothing here is secret ------------------

_P = 2**255 - 19
_L = 2**252 + 27742317777372353535851937790883648493
_D = -121665 * pow(121666, _P - 2, _P) % _P
_ROOT = pow(2, (_P - 1) // 4, _P)
_Point = tuple[int, int, int, int]  # extended coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, xy = T/Z


def verify_ed25519(public: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` is `public`'s for `message`.

    Example:
        >>> public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
        >>> signature = (
        ...     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155"
        ...     "5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"
        ... )
        >>> verify_ed25519(bytes.fromhex(public), b"", bytes.fromhex(signature))
        True
    """
    if len(public) != 32 or len(signature) != 64:
        return False
    key, point = _decode(public), _decode(signature[:32])
    scalar = int.from_bytes(signature[32:], "little")
    if key is None or point is None or scalar >= _L:
        return False
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    challenge = int.from_bytes(digest, "little") % _L
    left, right = _multiply(scalar, _BASE), _add(point, _multiply(challenge, key))
    # The same point, whatever the denominators.
    return (left[0] * right[2] - right[0] * left[2]) % _P == 0 and (
        left[1] * right[2] - right[1] * left[2]
    ) % _P == 0


def _decode(encoded: bytes) -> _Point | None:
    """Section 5.1.3."""
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= _P:
        return None
    square = (y * y - 1) * pow(_D * y * y + 1, _P - 2, _P) % _P
    x = pow(square, (_P + 3) // 8, _P)
    if (x * x - square) % _P:
        x = x * _ROOT % _P
    if (x * x - square) % _P or (x == 0 and sign):
        return None
    x = x if x & 1 == sign else _P - x
    return x, y, 1, x * y % _P


def _add(a: _Point, b: _Point) -> _Point:
    """Section 5.1.4; also doubles a point."""
    s, t = (a[1] - a[0]) * (b[1] - b[0]) % _P, (a[1] + a[0]) * (b[1] + b[0]) % _P
    u, v = 2 * a[3] * b[3] * _D % _P, 2 * a[2] * b[2] % _P
    e, f, g, h = t - s, v - u, v + u, t + s
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _multiply(scalar: int, point: _Point) -> _Point:
    result: _Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = _add(result, point)
        point = _add(point, point)
        scalar >>= 1
    return result


_base = _decode((4 * pow(5, _P - 2, _P) % _P).to_bytes(32, "little"))
assert _base is not None
_BASE: _Point = _base


# Rows -------------------------------------------------------------------------------------------


def _count(features: list[dict[str, Any]], columns: Mapping[str, Sequence[Any]]) -> int:
    counts = {}
    for column in features:
        name = column["name"]
        if name not in columns:
            raise InvalidRows(f"the column {name!r} is missing")
        values = columns[name]
        if isinstance(values, (str, bytes)) or not hasattr(values, "__len__"):
            raise InvalidRows(f"the column {name!r} is no list of values")
        counts[name] = len(values)
    if len(set(counts.values())) > 1:
        raise InvalidRows(f"the columns have different numbers of values: {counts}")
    rows = next(iter(counts.values()))
    if rows == 0:
        raise InvalidRows("there are no rows")
    return rows


def _number(column: dict[str, Any], value: Any) -> float:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return _missing(column, math.nan)
    kind = column["type"]
    if kind in ("datetime", "date"):
        return _moment(column, value)
    fits = isinstance(value, bool) if kind == "bool" else type(value) in (int, float)
    if not fits or (kind == "int" and isinstance(value, float) and not value.is_integer()):
        _refuse(column, value, {"bool": "true or false", "int": "a whole number"}.get(kind))
    if kind == "bool":
        return float(value)
    low, high = column.get("min"), column.get("max")
    if not (-_LARGEST if low is None else low) <= value <= (_LARGEST if high is None else high):
        _refuse(column, value, f"{low} to {high}" if (low, high) != (None, None) else "finite")
    if column.get("values") is not None and value not in column["values"]:
        _refuse(column, value, f"one of {column['values']}")
    return float(value)


def _text(column: dict[str, Any], value: Any) -> str:
    if value is None:
        return _missing(column, MISSING_TEXT)
    if not isinstance(value, str):
        _refuse(column, value, "a string")
    if column.get("values") is not None and value not in column["values"]:
        _refuse(column, value, f"one of {column['values'][:8]}")
    try:
        value.encode()
    except UnicodeEncodeError:
        _refuse(column, value, "text that UTF-8 can hold")
    return value


def _moment(column: dict[str, Any], value: Any) -> float:
    """Microseconds, or days, since 1970 in UTC."""
    if type(value) in (int, float):
        return float(value)
    try:
        if column["type"] == "datetime":
            text = value[:-1] + "+00:00" if isinstance(value, str) and value[-1:] in "zZ" else value
            moment = datetime.fromisoformat(text) if isinstance(text, str) else text
            aware = moment if moment.tzinfo else moment.replace(tzinfo=_EPOCH.tzinfo)
            since = aware - _EPOCH
            return float((since.days * 86400 + since.seconds) * 1_000_000 + since.microseconds)
        day = date.fromisoformat(value) if isinstance(value, str) else value
        return float(day.toordinal() - _EPOCH.toordinal())
    except (AttributeError, TypeError, ValueError):
        _refuse(column, value, "a moment such as 2013-02-01T06:30:00Z")


def _missing(column: dict[str, Any], stand_in: _Absent) -> _Absent:
    if not column.get("nullable", True):
        raise InvalidRows(f"the column {column['name']!r} has a missing value")
    return stand_in


def _refuse(column: dict[str, Any], value: Any, expected: str | None) -> NoReturn:
    shown = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a huge integer"
    raise InvalidRows(
        f"the column {column['name']!r} holds {shown[:60]}; expected {expected or 'a number'}"
    )


# The command line -------------------------------------------------------------------------------


def read_json(text: str, features: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the columns of a record, a list of records, or an object of columns.

    Raises:
        InvalidRows: It is none of them.
    """
    try:
        found = json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise InvalidRows(f"the input is no JSON: {error}") from error
    if isinstance(found, dict) and found and all(isinstance(v, list) for v in found.values()):
        return found
    records = [found] if isinstance(found, dict) else found
    if not isinstance(records, list) or not all(isinstance(r, dict) for r in records):
        raise InvalidRows("the input is no record, no list of records and no object of columns")
    for column in features:
        for at, record in enumerate(records):
            if column["name"] not in record:
                raise InvalidRows(f"the record {at + 1} has no {column['name']!r}")
    return {c["name"]: [r[c["name"]] for r in records] for c in features}


def read_csv(lines: Iterable[str], features: list[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return the columns of a CSV file with a header; empty fields are missing.

    Raises:
        InvalidRows: There is no header, a row has another number of fields, or a field is not of
            its column's type.
    """
    rows = csv.reader(lines, strict=True)
    try:
        header = next(rows, None)
        if not header:
            raise InvalidRows("the input is empty")
        header[0] = header[0].lstrip("\ufeff")
        places = {}
        for column in features:
            if header.count(column["name"]) != 1:
                raise InvalidRows(f"the header does not name {column['name']!r} once")
            places[column["name"]] = header.index(column["name"])
        columns: dict[str, list[Any]] = {name: [] for name in places}
        for row in rows:
            if len(row) != len(header):
                raise InvalidRows(
                    f"line {rows.line_num} has {len(row)} fields; expected {len(header)}"
                )
            for column in features:
                columns[column["name"]].append(_field(column, row[places[column["name"]]]))
    except (csv.Error, UnicodeDecodeError) as error:
        raise InvalidRows(f"the input is no CSV: {error}") from error
    return columns


def _field(column: dict[str, Any], text: str) -> Any:
    if text == "":
        return None
    kind = column["type"]
    if kind == "bool":
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    try:
        if kind == "int":
            return int(text)
        if kind == "float":
            return float(text)
    except ValueError:
        pass
    return text


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number; write null where a value is missing")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a name twice")
    return found


def write_csv(answers: list[dict[str, Any]]) -> None:
    """Print answers as CSV."""
    flat = [
        {k: v for k, v in answer.items() if k != "scores"}
        | {f"score.{k}": v for k, v in answer.get("scores", {}).items()}
        for answer in answers
    ]
    writer = csv.DictWriter(sys.stdout, list(flat[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(flat)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    parser = argparse.ArgumentParser(description="Runs a Tidemill edge bundle.")
    parser.add_argument("command", choices=["describe", "verify", "predict"])
    parser.add_argument("--bundle", type=Path, default=Path(__file__).parent)
    parser.add_argument("--key", default=os.environ.get("TIDEMILL_EDGE_KEY"))
    parser.add_argument("--input", type=Path, help="rows; standard input where it is left out")
    parser.add_argument("--from", dest="source", choices=["json", "csv"])
    parser.add_argument("--to", choices=["json", "csv"], default="json")
    options = parser.parse_args(arguments)
    try:
        if options.key is None:
            print(
                "runner: no key is pinned, so only damage can be found. "
                "Give the signer's key with --key or TIDEMILL_EDGE_KEY.",
                file=sys.stderr,
            )
        _run(options)
    except NotTrusted as error:
        print(f"runner: not trusted: {error}", file=sys.stderr)
        return 1
    except (InvalidRows, OSError, UnicodeDecodeError) as error:
        print(f"runner: {error}", file=sys.stderr)
        return 5
    return 0


def _run(options: argparse.Namespace) -> None:
    if options.command != "predict":
        files, provenance = verify(options.bundle, options.key)
        if options.command == "describe":
            found = {"provenance": provenance, **json.loads(files[DESCRIPTION])}
            print(json.dumps(found, indent=1, ensure_ascii=False))
        else:
            print(json.dumps({"verified": True, "files": sorted(files), **provenance}))
        return
    model = Model(options.bundle, key=options.key)
    features = model.description["features"]
    content = options.input.read_bytes() if options.input else sys.stdin.buffer.read()
    named = options.input.suffix[1:].lower() if options.input else "json"
    if (options.source or named) == "csv":
        columns = read_csv(content.decode().splitlines(keepends=True), features)
    else:
        columns = read_json(content.decode(), features)
    answers = model.predict(columns)
    if options.to == "csv":
        write_csv(answers)
    else:
        print(json.dumps({"predictions": answers}, ensure_ascii=False))


if __name__ == "__main__":
    sys.exit(main())
