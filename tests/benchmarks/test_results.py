"""RESULTS.md holds one section a benchmark, and writing one leaves the others alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import results


def test_a_section_takes_the_place_of_its_last_and_leaves_the_others(tmp_path: Path) -> None:
    page = tmp_path / "RESULTS.md"
    results.write("Serving", "python -m benchmarks serving", "| a | b |\n|---|---|", page=page)
    results.write("Monitoring", "python -m benchmarks monitoring", "first", page=page)
    serving = results.read(page)["Serving"]

    results.write("Monitoring", "python -m benchmarks monitoring", "### Part\n\nlast", page=page)

    assert results.read(page)["Serving"] == serving
    assert "first" not in page.read_text()
    assert page.read_text().startswith(results.HEAD)
    assert list(results.read(page)) == ["Monitoring", "Serving"]
    assert results.read(page)["Monitoring"].endswith("### Part\n\nlast\n")


def test_a_section_cannot_pass_for_two(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no headings"):
        results.write("Serving", "x", "fine\n## Tracking\n", page=tmp_path / "RESULTS.md")
