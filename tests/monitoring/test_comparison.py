"""Two tables compared: the peers' values, every kind of table, and whatever it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from tidemill.monitoring import distances
from tidemill.monitoring.comparison import NotATable, compare

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
    assert distances.kolmogorov_smirnov(usual, now)[0] == pytest.approx(golden["ks"], abs=1e-12)
    assert distances.wasserstein(usual, now) == pytest.approx(golden["w1"], abs=1e-12)
    assert distances.normalised_wasserstein(usual, now) == pytest.approx(
        golden["w1_norm_pop"], abs=1e-9
    )
    shares = distances.shares_by_tenths(usual, now)
    assert distances.population_stability(*shares) == pytest.approx(
        golden["psi10_refquantile"], rel=0.02
    )


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
            shares = distances.shares_in_bins(_values(REFERENCE, column), _values(part, column))
            for name, value in (
                ("jensen_shannon", distances.jensen_shannon(*shares)),
                ("hellinger", distances.hellinger(*shares)),
            ):
                assert value == pytest.approx(golden[f"{column}|{name}|value"], abs=1e-9)


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
