"""The report of an endpoint: its figures are the monitor's, its columns those that came."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from tidemill.core.clock import SimulatedClock
from tidemill.journal.service import Journal
from tidemill.monitoring.endpoint_page import page, write
from tidemill.monitoring.endpoint_report import EndpointReport
from tidemill.monitoring.errors import WindowNotFound
from tidemill.monitoring.reporting import report_endpoint
from tidemill.storage.db.engine import Database

from .test_past import DAY, LIVE, Street


@pytest.fixture
def street(db: Database, journal: Journal, clock: SimulatedClock, tmp_path: object) -> Street:
    return Street(db, journal, clock, f"{tmp_path}/predictions")


def _report(street: Street, first: float | None = None, last: float = 13) -> EndpointReport:
    return report_endpoint(
        street.monitor,
        "taxis",
        model="taxi",
        policy=street.policy,
        since=None if first is None else LIVE + first * DAY,
        until=LIVE + last * DAY,
        metrics=("f1", "log_loss"),
    )


def test_a_report_tells_of_windows_columns_and_findings(street: Street, tmp_path: Path) -> None:
    calm = street.days(0, 6)
    wet = street.days(6, 6, rain=1.5)
    street.judge(LIVE + 13 * DAY)
    report = _report(street)
    assert [w.since for w in report.windows] == [LIVE + i * DAY for i in range(0, 12, 2)]
    assert report.whole.predictions == calm.height + wet.height
    assert report.watched == "f1"
    assert "drift" in {f.kind for f in report.findings}
    rain = next(s for s in report.spreads if s.column == "rain")
    middle = [m.quartiles[1] for m in rain.moments]
    assert max(middle[:6]) < min(middle[6:])
    assert middle[0] == pytest.approx(float(np.median(calm["rain"][:40].to_numpy())), abs=0.25)
    area = next(s for s in report.spreads if s.column == "area")
    assert area.marks == ("north", "south", "other")
    assert sum(area.current) == pytest.approx(1)
    drawn = write(report, tmp_path / "report.html").read_text("utf-8")
    assert "columns moved" in drawn
    assert "<code>rain</code>" in drawn
    for picture in re.findall(r"<svg.*?</svg>", drawn):
        ElementTree.fromstring(picture)
    assert "http" not in drawn
    assert len(drawn) < 1_000_000
    written = json.loads(write(report, tmp_path / "report.json").read_text("utf-8"))
    assert written["whole"]["realised"] == report.whole.realised


def test_a_report_of_a_part_has_only_what_is_in_it(street: Street) -> None:
    street.days(0, 6)
    street.days(6, 6, rain=1.5)
    street.judge(LIVE + 13 * DAY)
    report = _report(street, 0, 4)
    assert len(report.windows) == 2
    assert report.findings == ()
    rain = next(s for s in report.spreads if s.column == "rain")
    assert len(rain.moments) == 4
    with pytest.raises(WindowNotFound, match="has no predictions"):
        _report(street, -50, -40)


def test_what_a_column_is_called_is_never_markup(street: Street) -> None:
    street.days(0, 4)
    street.judge(LIVE + 5 * DAY)
    report = _report(street, 0, 5)
    named = tuple(
        msgspec.structs.replace(s, column="<script>alert(1)</script>") for s in report.spreads
    )
    drawn = page(msgspec.structs.replace(report, spreads=named))
    assert "<script" not in drawn
    assert "&lt;script&gt;" in drawn
