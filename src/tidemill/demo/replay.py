"""Replays the year: requests to the real workers, labels when flights land, a file every morning.

The world of the replay is the only thing simulated. Requests go over HTTP to worker processes,
data files land in the project's folder where the loop finds them, and the loop runs as it would
anywhere; only the clock is moved by hand.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl

from tidemill.core.clock import SimulatedClock
from tidemill.core.errors import Conflict
from tidemill.demo.flights import FEATURES, Year, turn_of

ENDPOINT = "flight-delay"
STRETCH = timedelta(hours=3)
"""Requests of one stretch travel close together; labels likewise."""
PARTIES = 10
"""A stretch's flights are asked for in so many requests, each a random part of them: a canary
gets whole requests, and is judged fairly only if its flights are like the others."""
_OIP_TYPES = {pl.String: "BYTES", pl.Int64: "INT64", pl.Float64: "FP64"}


class Tally(msgspec.Struct):
    """What was sent so far."""

    predictions: int = 0
    labels: int = 0
    failed: int = 0


class Traffic:
    """The airlines' side of the wire: asks for predictions, and tells what came true.

    Args:
        url: Where the workers listen.
        clock: The clock of the replay; its moment travels with each request.
    """

    def __init__(self, url: str, clock: SimulatedClock) -> None:
        self._http = httpx.Client(base_url=url, timeout=30.0)
        self._clock = clock
        self.tally = Tally()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def ask(self, flights: pl.DataFrame, name: str) -> None:
        """Ask for a prediction of every flight; `name` keeps the canary's share repeatable."""
        if flights.is_empty():
            return
        body = {"id": name, "inputs": [_tensor(flights[c]) for c in ("flight_id", *FEATURES)]}
        answer = self._send(f"/v2/models/{ENDPOINT}/infer", body)
        self.tally.predictions += flights.height
        if answer.status_code != 200:
            self.tally.failed += 1

    def tell(self, flights: pl.DataFrame) -> None:
        """Tell which flights came late."""
        if flights.is_empty():
            return
        labels = [
            {"key": key, "label": late, "time": at.isoformat()}
            for key, late, at in flights.select("flight_id", "late", "known_at").iter_rows()
        ]
        answer = self._send(f"/labels/{ENDPOINT}", {"labels": labels})
        if answer.status_code >= 400:
            raise Conflict(f"The labels were refused: {answer.text}")
        self.tally.labels += len(labels)

    def flush(self) -> None:
        """Return when everything sent so far is on disk."""
        self._http.post("/-/flush").raise_for_status()

    def _send(self, path: str, body: Any) -> httpx.Response:
        headers = {
            "Content-Type": "application/json",
            "Tidemill-Time": self._clock.now().isoformat(),
        }
        return self._http.post(path, content=msgspec.json.encode(body), headers=headers)


def play_day(day: date, year: Year, traffic: Traffic, clock: SimulatedClock, folder: Path) -> None:
    """Play one day of flights, up to the next morning, and leave its file in the data folder."""
    opening, closing = turn_of(day - timedelta(days=1)), turn_of(day)
    for since, until in _stretches(opening, closing):
        clock.set(since)
        for number, party in enumerate(_parties(year.scheduled(since, until))):
            traffic.ask(party, f"{ENDPOINT}-{since:%Y%m%dT%H}-{number}")
        clock.set(until)
        traffic.tell(year.known(since, until))
    traffic.flush()
    write_day(year.known(opening, closing), day, folder)


def write_day(flights: pl.DataFrame, day: date, folder: Path) -> Path:
    """Write the flights of a day as the airlines deliver them: whole, or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{day:%Y-%m-%d}.parquet"
    draft = path.with_suffix(".part")
    flights.drop("known_at").write_parquet(draft)
    return draft.rename(path)


def spoil(flights: pl.DataFrame) -> pl.DataFrame:
    """Return a delivery as a careless supplier makes it: degrees in kelvin, weather as text."""
    return flights.with_columns(
        temp=(pl.col("temp") - 32) / 1.8 + 273.15,
        dewp=(pl.col("dewp") - 32) / 1.8 + 273.15,
        pressure=pl.format("{} hPa", "pressure"),
    )


def _parties(flights: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Deal flights out at random, by their ids and so always alike."""
    dealt = flights["flight_id"].hash(seed=PARTIES) % PARTIES
    for number in range(PARTIES):
        yield flights.filter(dealt == number)


def _stretches(since: datetime, until: datetime) -> Iterator[tuple[datetime, datetime]]:
    while since < until:
        yield since, min(since + STRETCH, until)
        since += STRETCH


def _tensor(column: pl.Series) -> dict[str, Any]:
    datatype = _OIP_TYPES[type(column.dtype)]
    return {
        "name": column.name,
        "shape": [len(column), 1],
        "datatype": datatype,
        "data": column.to_list(),
    }
