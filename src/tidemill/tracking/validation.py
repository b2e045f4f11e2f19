"""What may be logged: MLflow's limits, checked once at the door of the room."""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable
from functools import lru_cache
from pathlib import PurePosixPath

from tidemill.tracking.errors import BadArtifactPath, BadExperiment, BadMetric
from tidemill.tracking.records import Metric, Param, Tag

MAX_KEY = 250
METRIC = "Metric name"
MAX_PARAM = 6000
MAX_TAG = 8000
MAX_EXPERIMENT_TAG = 20_000
MAX_NAME = 500
_KEY = re.compile(r"[/\w.\- :]+")
_UNREADABLE = "\ufffd"
"""Stands for bytes that are no text: two files could not be told apart by it."""
_LEAST, _MOST = -(2**63), 2**63 - 1


def check_metrics(metrics: Iterable[Metric]) -> None:
    """Refuse metrics that cannot be kept.

    Raises:
        BadMetric: A key, a step or a timestamp is none.
    """
    known: set[str] = set()
    for metric in metrics:
        if metric.key not in known:
            known.add(check_key(metric.key, METRIC))
        if not (_LEAST <= metric.step <= _MOST and _LEAST <= metric.timestamp <= _MOST):
            raise BadMetric(
                f"The step {str(metric.step)[:40]} or the timestamp {str(metric.timestamp)[:40]} "
                f"of metric {metric.key!r} is too large.",
                expected="integers of 64 bits",
            )


def cut_params(params: Iterable[Param]) -> list[Param]:
    """Return params with over-long values cut, as MLflow does.

    Raises:
        BadMetric: A key or value cannot be kept.
    """
    return [Param(check_key(p.key, "Param key"), _text(p.value, MAX_PARAM)) for p in params]


def cut_tags(tags: Iterable[Tag], most: int = MAX_TAG) -> list[Tag]:
    """Return tags with over-long values cut, as MLflow does.

    Raises:
        BadMetric: A key or value cannot be kept.
    """
    return [Tag(check_key(t.key, "key"), _text(t.value, most)) for t in tags]


@lru_cache(maxsize=8192)
def check_key(key: str, what: str) -> str:
    """Return a key that can be kept.

    Raises:
        BadMetric: It is empty, too long, or would name another file than itself.

    Example:
        >>> check_key("val/loss at 5", "Metric name")
        'val/loss at 5'
    """
    if len(key) > MAX_KEY:
        raise BadMetric(
            f"{what!r} exceeds the maximum length of {MAX_KEY} characters",
            expected=f"1 to {MAX_KEY}",
        )
    parameter = "name" if what == METRIC else "key"
    if not _KEY.fullmatch(key) or not _is_unicode(key):
        raise BadMetric(
            f"Invalid value {_quoted(key)} for parameter {parameter!r} supplied: Names may only "
            "contain alphanumerics, underscores (_), dashes (-), periods (.), spaces ( ), colon(:) "
            "and slashes (/).",
            expected="such a name",
        )
    if posixpath.normpath(key) != key or key == "." or key.startswith(("..", "/")):
        raise BadMetric(
            f"Invalid value {_quoted(key)} for parameter {parameter!r} supplied: Names may be "
            "treated as files in certain cases, and must not resolve to other names when treated "
            f"as such. This name would resolve to {posixpath.normpath(key)!r}",
            expected="such a name",
        )
    return key


def check_name(name: str) -> None:
    """Refuse a name that no experiment can have.

    Raises:
        BadExperiment: It is empty or too long.
    """
    if not name.strip() or "\x00" in name or not _is_unicode(name):
        raise BadExperiment(f"Invalid experiment name: {name!r}.", expected="a text")
    if len(name) > MAX_NAME:
        raise BadExperiment(
            f"'name' exceeds the maximum length of {MAX_NAME} characters",
            expected=f"at most {MAX_NAME}",
        )


def check_path(path: str) -> None:
    """Refuse a path that no artifact can have.

    Raises:
        BadArtifactPath: It leaves the run, or cannot be a file's name.
    """
    parts = PurePosixPath(path).parts
    if (
        not parts
        or path != "/".join(parts)
        or len(path) > 1000
        or len(parts) > 100
        or not _is_unicode(path)
        or any(part in {".", ".."} or len(part.encode()) > 255 for part in parts)
        or "\\" in path
        or _UNREADABLE in path
        or any(ord(c) < 32 or ord(c) == 127 for c in path)
    ):
        raise BadArtifactPath(
            f"{path[:200]!r} cannot be the path of an artifact.",
            expected="a relative path with forward slashes, such as plots/roc.svg",
        )


def _text(value: str, most: int) -> str:
    if "\x00" in value or not _is_unicode(value):
        raise BadMetric(
            f"The value {value[:40]!r} has characters that no text has.", expected="Unicode text"
        )
    return value[:most]


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)
