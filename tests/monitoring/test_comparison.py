"""Two tables compared: the peers' values, every kind of table, and whatever it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest

from tidemill.core.errors import Usage
from tidemill.datasets.errors import UnreadableData
from tidemill.datasets.sketches import Numbers
from tidemill.monitoring import distances
from tidemill.monitoring.comparison import NotATable, Prepared, compare, prepare
from tidemill.monitoring.errors import UnreadableReference
from tidemill.monitoring.measures import measure

GOLDEN = Path(__file__).parent / "golden"
PEERS: dict[str, Any] = json.loads((GOLDEN / "peers.json").read_text())
REFERENCE = pl.read_parquet(GOLDEN / "di_ref.parquet")
CURRENT = pl.read_parquet(GOLDEN / "di_cur.parquet")
NUMBERS = ("age", "bmi", "bp", "s5")


def _values(frame: pl.DataFrame, column: str) -> np.ndarray[Any, Any]:
    return frame[column].drop_nulls().drop_nans().to_numpy()


@pytest.mark.parametrize("column", NUMBERS)
def test_distances_of_numbers_equal_the_recorded_ones(column: str) -> None:
    golden = PEERS["scipy"][column]
    usual, now = _values(REFERENCE, column), _values(CURRENT, column)
    (found,) = compare(REFERENCE, CURRENT, columns=[column]).columns
    assert found.distances["kolmogorov_smirnov"] == pytest.approx(golden["ks"], abs=1e-12)
    assert found.distances["wasserstein"] == pytest.approx(golden["w1"], abs=1e-12)
    assert found.distances["normalised_wasserstein"] == pytest.approx(
        golden["w1_norm_pop"], abs=1e-9
    )
    assert found.distances["population_stability"] == pytest.approx(
        golden["psi10_refquantile"], rel=0.02
    )
    assert distances.kolmogorov_smirnov(usual, now)[0] == pytest.approx(golden["ks"], abs=1e-12)


@pytest.mark.parametrize("column", ["grp", "flag"])
def test_distances_of_categories_equal_the_recorded_ones(column: str) -> None:
    golden = PEERS["scipy"][column]
    names = sorted(REFERENCE[column].unique())
    found = [
        np.array([(f[column] == n).sum() for n in names], dtype=float) for f in (REFERENCE, CURRENT)
    ]
    shares = [f / f.sum() for f in found]
    assert distances.jensen_shannon(*shares) == pytest.approx(golden["jsd_base2"], abs=1e-12)
    assert distances.l_infinity(*shares) == pytest.approx(golden["linf"], abs=1e-12)
    effect = {c.column: c.effect for c in compare(REFERENCE, CURRENT).columns}[column]
    assert effect == pytest.approx(golden["tvd"], abs=1e-12)
    if column == "grp":  # with two categories the recorded one carries Yates's correction
        assert distances.chi_square(*found)[0] == pytest.approx(golden["chi2"], abs=1e-9)


def test_distances_of_chunks_equal_the_peers() -> None:
    size = CURRENT.height // 10
    chunks = PEERS["univariate"][10:]
    for i, golden in enumerate(chunks[:10]):
        part = CURRENT[i * size : (i + 1) * size]
        for column in NUMBERS:
            usual, now = Numbers.of(_values(REFERENCE, column)), Numbers.of(_values(part, column))
            found = measure(column, usual, now).distances
            for name in ("jensen_shannon", "hellinger"):
                assert found[name] == pytest.approx(golden[f"{column}|{name}|value"], abs=1e-9)


def test_a_comparison_names_what_moved() -> None:
    assert set(compare(REFERENCE, CURRENT).moved) == {"bmi", "grp", "flag"}
    assert compare(REFERENCE, REFERENCE.sample(2000, seed=1)).moved == ()


def test_pandas_arrow_lazy_and_mapping_tables_give_the_same() -> None:
    expected = compare(REFERENCE, CURRENT)
    pandas = pytest.importorskip("pandas")
    frames = [pandas.DataFrame(f.to_dict(as_series=False)) for f in (REFERENCE, CURRENT)]
    assert compare(*frames).moved == expected.moved
    assert compare(REFERENCE.to_arrow(), CURRENT.to_arrow()) == expected
    assert compare(REFERENCE.lazy(), CURRENT.lazy()) == expected
    assert compare(REFERENCE.to_dict(as_series=False), CURRENT.to_dict()) == expected
    with pytest.raises(NotATable, match="int cannot be read as a table"):
        compare(REFERENCE, 3)


def test_relations_of_a_database_are_tables() -> None:
    duckdb = pytest.importorskip("duckdb")
    known = [duckdb.from_arrow(f.to_arrow()) for f in (REFERENCE, CURRENT)]
    assert compare(*known) == compare(REFERENCE, CURRENT)


def test_files_and_prepared_references_give_the_same_within_their_error(tmp_path: Path) -> None:
    exact = {c.column: c for c in compare(REFERENCE, CURRENT).columns}
    half = REFERENCE.height // 2
    (tmp_path / "reference").mkdir()
    REFERENCE[:half].write_parquet(tmp_path / "reference" / "1.parquet", row_group_size=300)
    REFERENCE[half:].write_parquet(tmp_path / "reference" / "2.parquet")
    CURRENT.write_parquet(tmp_path / "current.parquet", row_group_size=100)
    kept = prepare(REFERENCE, points=200).save(tmp_path / "usual.reference")
    by_files = compare(tmp_path / "reference", str(tmp_path / "current.parquet"))
    for found in (by_files, compare(Prepared.load(kept), CURRENT)):
        assert set(found.moved) == {"bmi", "grp", "flag"}
        for column in found.columns:
            assert column.effect == pytest.approx(
                exact[column.column].effect, abs=column.error + 1e-9
            )
    assert kept.stat().st_size < 60_000
    whole = compare(
        [tmp_path / "reference" / "1.parquet", tmp_path / "reference" / "2.parquet"],
        CURRENT,
        exact=True,
    )
    assert {c.column: c for c in whole.columns} == exact


def test_what_is_no_prepared_reference_is_refused(tmp_path: Path) -> None:
    kept = prepare(REFERENCE).save(tmp_path / "usual.reference")
    with pytest.raises(Usage, match="cannot be exact"):
        compare(Prepared.load(kept), CURRENT, exact=True)
    with pytest.raises(Usage, match="is a prepared reference"):
        compare(CURRENT, Prepared.load(kept))
    content = kept.read_bytes()
    for damaged in (b"PAR1", content[: len(content) // 2], content[:-1], content + b"1"):
        kept.write_bytes(damaged)
        with pytest.raises(UnreadableReference, match=r"usual\.reference cannot be read"):
            Prepared.load(kept)
    with pytest.raises(UnreadableReference, match="No such file"):
        Prepared.load(tmp_path / "none")


def test_files_that_are_no_tables_are_refused(tmp_path: Path) -> None:
    CURRENT.write_parquet(tmp_path / "current.parquet")
    content = (tmp_path / "current.parquet").read_bytes()
    (tmp_path / "cut.parquet").write_bytes(content[:-500])
    (tmp_path / "empty").mkdir()
    CURRENT.select("age").write_parquet(tmp_path / "narrow.parquet")
    for source in ("cut.parquet", "none.parquet", "none", "empty"):
        with pytest.raises(UnreadableData):
            compare(CURRENT, tmp_path / source)
    with pytest.raises(UnreadableData, match="has no column"):
        compare(CURRENT, [tmp_path / "current.parquet", tmp_path / "narrow.parquet"])


def test_moments_are_compared_whatever_unit_they_are_stored_in() -> None:
    days = pl.date_range(pl.date(2013, 1, 1), pl.date(2013, 4, 30), eager=True)
    usual = {"at": days.cast(pl.Datetime("us")), "day": days}
    now = {"at": days.cast(pl.Datetime("ms")), "day": days.cast(pl.Datetime("ns"))}
    found = compare(usual, now)
    assert [c.effect for c in found.columns] == [0.0, 0.0]
    assert found.columns[0].reference == "2013-03-01 12:00"


def test_whatever_a_column_holds_gives_a_figure_or_a_reason() -> None:
    usual = {
        "constant": [1.0] * 50,
        "nothing": [None] * 50,
        "infinite": [float("inf"), 1.0] * 25,
        "lists": [[1]] * 50,
        "gone": [1] * 50,
        "many": [f"c{i}" for i in range(50)],
        "<b>": ["x"] * 50,
    }
    now = {**usual, "constant": [2.0] * 50, "nothing": [1.0] * 50, "new": [1] * 50}
    del now["gone"]
    found = compare(usual, now)
    assert set(found.moved) == {"constant", "nothing"}
    assert (found.added, found.removed) == (("new",), ("gone",))
    assert found.notes == ("`lists` cannot be judged, because it does not hold single values.",)
    assert "<b>" not in found.to_html().replace("<td><b>", "")
    assert compare(usual, {}).columns == ()
    assert len(compare(pl.DataFrame(usual).clear(), usual).notes) == 7


def test_the_report_is_one_small_page_without_outside_assets(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    wide = pl.DataFrame({f"x{i}": rng.normal(size=300) for i in range(120)})
    path = compare(wide, wide.with_columns(pl.col("x1") + 2)).write(tmp_path / "report.html")
    text = path.read_text()
    assert len(text) < 1_000_000
    assert "http" not in text
    assert "src=" not in text
    again = compare(REFERENCE, CURRENT).write(tmp_path / "report.json")
    assert {c["column"] for c in json.loads(again.read_text())["columns"]} >= {"bmi", "grp"}


@pytest.mark.parametrize("rows", [(2000, 2000), (300, 5000)])
def test_a_column_of_many_categories_moves_no_oftener_than_is_stated(rows: tuple[int, int]) -> None:
    moved = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        both = [{"k": rng.integers(0, 1000, many).astype(str)} for many in rows]
        moved += bool(compare(*both).moved)
    assert moved <= 4
    less = {"k": rng.integers(0, 20, rows[1]).astype(str)}
    assert compare(both[0], less).moved == ("k",)


def test_a_comparison_is_read_in_a_terminal() -> None:
    usual = {"temp": [1.0, 2.0] * 50, "sky": ["blue"] * 100, "gone": [1] * 100}
    now = {"temp": [11.0, 12.0] * 50, "sky": ["blue"] * 100, "new": [1] * 100}
    lines = repr(compare(usual, now)).splitlines()
    assert lines[0] == "1 of 2 columns moved (*): 100 rows of reference, 100 rows now."
    assert [line[:6] for line in lines[1:4]] == ["  colu", "* temp", "  sky "]
    assert lines[4:] == ["new: new", "gone: gone"]


def test_texts_among_numbers_are_texts() -> None:
    usual = pd.DataFrame({"code": [1, "a", None, 2.5] * 50})
    now = pd.DataFrame({"code": [1, "b", None, 2.5] * 50})
    (column,) = compare(usual, now).columns
    assert (column.kind, column.moved, column.missing) == ("categorical", True, 0.25)


def test_curves_are_lines_and_moments_are_days() -> None:
    days = pl.date_range(pl.date(2013, 1, 1), pl.date(2013, 3, 1), eager=True)
    drawn = compare({"day": days}, {"day": days}).to_html()
    assert ">2013-01-01 00:00</text>" in drawn
    assert ".tm path.was,.tm path.now{fill:none" in drawn
