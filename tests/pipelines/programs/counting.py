"""Steps that leave a mark each time they run."""

from __future__ import annotations

import time
from pathlib import Path

import polars as pl

from tidemill.pipelines.steps import pipeline, step


def mark(folder: str, name: str) -> int:
    with Path(folder, name).open("a") as file:
        file.write("x")
    return Path(folder, name).stat().st_size


@step
def numbers(folder: str) -> tuple[pl.DataFrame, int]:
    mark(folder, "numbers")
    return pl.DataFrame({"n": [1, 2, 3]}), 10


@step(cache=False)
def wait(folder: str) -> bool:
    """Wait until somebody says go."""
    mark(folder, "wait")
    while not Path(folder, "go").exists():
        time.sleep(0.01)
    return True


@step(retries=2)
def third_time(folder: str) -> str:
    if mark(folder, "third_time") < 3:
        raise OSError("not yet")
    return "at last"


@step
def total(rows: pl.DataFrame, factor: int) -> int:
    return int(rows["n"].sum()) * factor


@pipeline
def counted(folder: str) -> None:
    parts = numbers(folder)
    total(parts[0], parts[1])


@pipeline
def held_up(folder: str) -> None:
    parts = numbers(folder)
    wait(folder)
    total(parts[0], parts[1])


@pipeline
def stubborn(folder: str) -> None:
    third_time(folder)
