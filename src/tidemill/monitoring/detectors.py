"""Detectors of change in a stream: each says after which value it noticed one.

They are river's, with river's defaults; here they have one face, and say what they can watch.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from tidemill.core.errors import Usage, nearest

Floats = NDArray[np.float64]
_BINARY = frozenset({"ddm", "hddm-a", "hddm-w"})


class UnknownDetector(Usage):
    """There is no detector of that name."""


class UnsuitedStream(Usage):
    """The detector cannot watch such values."""


class Detection(msgspec.Struct, frozen=True):
    """A change that was noticed.

    Attributes:
        index: After which value.
        upward: Whether values are larger since; nothing where the detector does not tell.
    """

    index: int
    upward: bool | None = None


def detections(values: Floats, detector: str = "adwin") -> list[Detection]:
    """Return the changes that a detector notices in a stream.

    Args:
        values: The stream in order, shape (n,). Page-Hinkley expects a standard deviation near 1.
        detector: `adwin` or `page-hinkley` for any values; `ddm`, `hddm-a` or `hddm-w` for errors
            (1) and right answers (0).

    Raises:
        UnknownDetector: There is none of that name.
        UnsuitedStream: A detector of errors is given something else.

    Reference: Bifet and Gavaldà, Learning from time-changing data with adaptive windowing, SDM 2007
    (ADWIN); Gama, Medas, Castillo and Rodrigues, Learning with drift detection, SBIA 2004 (DDM);
    Frías-Blanco and others, Online and non-parametric drift detection methods based on Hoeffding's
    bounds, IEEE Transactions on Knowledge and Data Engineering 27, 2015 (HDDM); Page, Continuous
    inspection schemes, Biometrika 41, 1954 (Page-Hinkley).

    Example:
        >>> rng = np.random.default_rng(0)
        >>> errors = np.append(rng.random(2000) < 0.1, rng.random(500) < 0.4).astype(float)
        >>> for name in ("adwin", "ddm", "hddm-a", "hddm-w", "page-hinkley"):
        ...     print(name, detections(errors, name)[0].index)
        adwin 2047
        ddm 2008
        hddm-a 2048
        hddm-w 2014
        page-hinkley 2084
    """
    known = _made()
    if detector not in known:
        raise UnknownDetector(
            f"There is no detector {detector!r}.", expected=nearest(detector, known)
        )
    if detector in _BINARY and not np.isin(values, (0.0, 1.0)).all():
        other = values[~np.isin(values, (0.0, 1.0))][0]
        raise UnsuitedStream(
            f"{detector} watches errors, and the stream holds {other:g}.",
            expected="0 and 1, or the detector `adwin` or `page-hinkley`",
        )
    watching: Any = known[detector]()
    found = []
    for index, value in enumerate(values.tolist()):
        before = watching.estimation if detector == "adwin" else None
        watching.update(bool(value) if detector in _BINARY else value)
        if watching.drift_detected:
            upward = None if before is None else bool(watching.estimation > before)
            found.append(Detection(index, upward))
    return found


def witnesses(errors: Floats, residuals: Floats, known: int) -> dict[str, int]:
    """Return which detectors notice a change for the worse, and after how many new values.

    Args:
        errors: Wrong answers (1) and right ones (0) in the order of labels; empty for regression.
        residuals: Realised less expected loss in that order.
        known: How many of both, at the beginning, only say what is usual.
    """
    spread = float(residuals[:known].std()) if known else 0.0
    streams = {"page-hinkley": residuals / spread} if spread > 0 else {}
    streams |= dict.fromkeys(sorted(_BINARY), errors) if len(errors) else {}
    found = {}
    for name, stream in streams.items():
        usual, now = stream[:known], stream[known:]
        if not len(now) or now.mean() <= usual.mean():
            continue
        late = [d.index for d in detections(stream, name) if d.index >= known]
        if late:
            found[name] = late[0] - known
    return found


def _made() -> dict[str, Callable[[], Any]]:
    from river.drift import ADWIN, PageHinkley
    from river.drift.binary import DDM, HDDMA, HDDMW

    return {
        "adwin": ADWIN,
        "ddm": DDM,
        "hddm-a": HDDMA,
        "hddm-w": HDDMW,
        "page-hinkley": PageHinkley,
    }
