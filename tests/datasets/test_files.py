"""Bad files: each gets one clear error, nothing is stored, and good ones mean what they say."""

from __future__ import annotations

import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tidemill.core.clock import SimulatedClock
from tidemill.core.contract import Column, Contract
from tidemill.core.errors import TidemillError, Usage
from tidemill.datasets import frames
from tidemill.datasets.errors import ContractBroken, UnreadableData
from tidemill.datasets.inference import infer
from tidemill.datasets.service import Datasets
from tidemill.datasets.validation import validate
from tidemill.journal.service import Journal
from tidemill.storage.blobs.local import LocalBlobs
from tidemill.storage.db.engine import Database

NOW = datetime(2013, 1, 2, tzinfo=UTC)
CONTRACT = Contract(
    columns=(
        Column(name="id", type="string", role="key", nullable=False),
        Column(name="at", type="datetime", role="time", nullable=False),
        Column(name="n", type="int"),
        Column(name="temp", type="float", max=130.0),
        Column(name="late", type="bool", role="label"),
    )
)
HEAD = "id,at,n,temp,late\n"
ROW = "a,2013-01-01T05:00:00Z,1,5,true\n"
GOOD = pl.DataFrame(
    {"id": ["a", "b"], "at": [NOW, NOW], "n": [1, 2], "temp": [1.0, 2.0], "late": [True, False]}
)


@pytest.fixture
def datasets(db: Database, blobs: LocalBlobs, journal: Journal, clock: SimulatedClock) -> Datasets:
    return Datasets(db, blobs, journal, clock)


TEXTS = {
    "empty": ("", "is empty"),
    "blank lines": ("\n\n", "is empty"),
    "header only": (HEAD, "a header and no rows"),
    "a row too long": (HEAD + ROW + "b,2013-01-01,1,5,true,7\n", "6 fields in line 3"),
    "cut off": (HEAD + ROW + "b,2013-01-01\n", "2 fields in line 3"),
    "semicolons": ((HEAD + ROW).replace(",", ";"), "parted by semicolons"),
    "tabs": ((HEAD + ROW).replace(",", "\t"), "parted by tabs"),
    "a column twice": ("id,at,n,late,late\n" + ROW, "more than one column 'late'"),
    "a column missing": ("id,at,n,late\na,2013-01-01,1,true\n", "column 'temp' is missing"),
    "a word for a number": (HEAD + ROW + "b,2013-01-01,x,5,true\n", "'n' holds 'x' in row 1"),
    "a fraction": (HEAD + "b,2013-01-01,1.5,5,true\n", "'n' holds '1.5' in row 0"),
    "too large": (HEAD + f"b,2013-01-01,{10**30},5,true\n", "'n' holds '1000"),
    "no day": (HEAD + "b,2013-02-30,1,5,true\n", "'at' holds '2013-02-30'"),
    "no truth value": (HEAD + "b,2013-01-01,1,5,maybe\n", "'late' holds 'maybe'"),
    "endless": (HEAD + "b,2013-01-01,1,inf,true\n", "'temp' holds 'inf'"),
    "a word far down": (
        HEAD + "".join(f"{i},2013-01-01,1,5,true\n" for i in range(12_000)) + "z,2013-01-01,1,x,\n",
        "'temp' holds 'x' in row 12000",
    ),
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_bad_csv_file_gets_one_clear_error(datasets: Datasets, tmp_path: Path, name: str) -> None:
    text, said = TEXTS[name]
    refused(datasets, tmp_path / "rows.csv", text.encode(), said)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", (HEAD + ROW + ROW.replace("a,", "é,")).encode("latin-1"), "line 3 has .* 0xe9"),
        ("a.csv", (HEAD + ROW).encode("utf-16"), "it is UTF-16"),
        ("a.parquet", b"", "is empty"),
        ("a.parquet", b"PAR1\0\0", "cut off"),
        ("a.parquet", (HEAD + ROW).encode(), "not a Parquet file"),
        ("a.parquet", b"PAR1" + b"\xff" * 40 + b"PAR1", "cannot be read"),
        ("a.arrow", b"ARROW1\0\0", "cannot be read"),
        ("a.jsonl", b'{"id": "a"\n', "cannot be read"),
        ("a.jsonl", b"[1, 2]\n", "cannot be read"),
        ("a.png", b"\x89PNG", "ends in .parquet"),
    ],
)
def test_a_file_of_wrong_bytes_gets_one_clear_error(
    datasets: Datasets, tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    refused(datasets, tmp_path / name, content, said)


def refused(datasets: Datasets, path: Path, content: bytes, said: str) -> None:
    path.write_bytes(content)
    with pytest.raises((UnreadableData, ContractBroken), match=said) as caught:
        datasets.append("d", path, actor="me", contract=CONTRACT)
    assert path.name in caught.value.what or "column" in caught.value.what
    assert caught.value.expected
    assert datasets.names() == []


def test_a_truncated_parquet_file_is_called_cut_off(datasets: Datasets, tmp_path: Path) -> None:
    GOOD.write_parquet(tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for kept in (len(whole) - 1, len(whole) // 2, 5):
        refused(datasets, tmp_path / "a.parquet", whole[:kept], "cut off")


WHOLE = GOOD.lazy().select(pl.all().repeat_by(50).explode()).collect()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(4, 10**6), st.integers(1, 255)), min_size=1, max_size=8))
def test_a_damaged_parquet_file_never_ends_in_a_panic(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, int]]
) -> None:
    path = tmp_path_factory.mktemp("damaged") / "a.parquet"
    WHOLE.write_parquet(path, compression="uncompressed")
    content = bytearray(path.read_bytes())
    for place, flip in damage:
        content[4 + place % (len(content) - 8)] ^= flip
    path.write_bytes(content)
    with suppress(TidemillError):
        validate(frames.scan(path, CONTRACT), CONTRACT, now=NOW)


def test_a_folder_a_pipe_a_link_to_itself_and_nothing_are_no_files(
    datasets: Datasets, tmp_path: Path
) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    os.mkfifo(tmp_path / "pipe.csv")
    said = {"folder": "a folder", "loop": "symbolic links", "pipe": "no file", "gone": "not there"}
    for name, words in said.items():
        with pytest.raises(UnreadableData, match=words):
            datasets.append("d", tmp_path / f"{name}.csv", actor="me")


def test_a_file_that_changes_or_vanishes_while_it_is_read_is_refused(
    datasets: Datasets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.parquet"
    reader = frames.scan

    def scan_and_grow(given: Path, contract: Contract | None = None) -> pl.LazyFrame:
        frame = reader(given, contract)
        WHOLE.write_parquet(path)
        return frame

    GOOD.write_parquet(path)
    monkeypatch.setattr(frames, "scan", scan_and_grow)
    with pytest.raises((UnreadableData, ContractBroken), match=r"changed|breaks|cannot"):
        datasets.append("d", path, actor="me", contract=CONTRACT)

    def scan_and_vanish(given: Path, contract: Contract | None = None) -> pl.LazyFrame:
        frame = reader(given, contract)
        path.unlink()
        return frame

    GOOD.write_parquet(path)
    monkeypatch.setattr(frames, "scan", scan_and_vanish)
    with pytest.raises(UnreadableData, match=r"a\.parquet"):
        datasets.append("d", path, actor="me", contract=CONTRACT)
    assert datasets.names() == []


def test_text_means_what_the_contract_says(datasets: Datasets, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(
        "\ufeff" + HEAD + "007,2013-01-01T05:00:00-05:00, 7 ,NA,TRUE\r\n"
        '"a ""quoted"",\nid",2013-01-01 05:00:00,8.0,nan,0\r\n'
        "c,2013-01-01,,2e1,false\r\n",
        newline="",
    )
    version = datasets.append("d", path, actor="me", contract=CONTRACT)
    rows = datasets.scan(version).collect()
    assert rows["id"].to_list() == ["007", 'a "quoted",\nid', "c"]
    assert [t.hour for t in rows["at"]] == [10, 5, 0]
    assert rows["n"].to_list() == [7, 8, None]
    assert rows["temp"].fill_nan(None).to_list() == [None, None, 20.0]
    assert rows["late"].to_list() == [True, False, False]


VARIANTS = {
    "small integers": pl.col("n").cast(pl.Int8),
    "unsigned": pl.col("n").cast(pl.UInt64),
    "whole floats": pl.col("n").cast(pl.Float64),
    "integers for floats": pl.col("temp").cast(pl.Int32),
    "single precision": pl.col("temp").cast(pl.Float32),
    "decimals": pl.col("temp").cast(pl.Decimal(10, 2)),
    "categories": pl.col("id").cast(pl.Categorical),
    "no zone": pl.col("at").dt.replace_time_zone(None),
    "another zone": pl.col("at").dt.convert_time_zone("America/New_York"),
    "nanoseconds": pl.col("at").dt.cast_time_unit("ns"),
    "milliseconds": pl.col("at").dt.cast_time_unit("ms"),
    "days": pl.col("at").dt.date(),
    "written": pl.col("at").dt.to_string("%Y-%m-%dT%H:%M:%SZ"),
}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("name", VARIANTS)
def test_a_scan_has_the_contracts_types_whichever_file_came_first(
    datasets: Datasets, tmp_path: Path, name: str, first: bool
) -> None:
    GOOD.write_parquet(tmp_path / "plain.parquet")
    GOOD.with_columns(VARIANTS[name]).write_parquet(tmp_path / "variant.parquet")
    paths = [tmp_path / "variant.parquet", tmp_path / "plain.parquet"]
    version = datasets.append("d", paths if first else paths[::-1], actor="me", contract=CONTRACT)
    assert datasets.scan(version).collect().equals(pl.concat([GOOD, GOOD]))


def test_parquet_files_are_stored_as_given(
    datasets: Datasets, tmp_path: Path, blobs: LocalBlobs
) -> None:
    GOOD.write_parquet(tmp_path / "a.parquet")
    version = datasets.append("d", tmp_path / "a.parquet", actor="me", contract=CONTRACT)
    stored = blobs.read(version.added[0].digest)
    assert stored == (tmp_path / "a.parquet").read_bytes()


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.arrow", "a.feather", "stream.arrow"])
def test_every_kind_of_file_brings_the_same_rows(
    datasets: Datasets, tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    writers = {"a.csv": GOOD.write_csv, "a.jsonl": GOOD.write_ndjson}
    writer = GOOD.write_ipc_stream if name == "stream.arrow" else GOOD.write_ipc
    writers.get(name, writer)(path)  # type: ignore[operator]
    version = datasets.append("d", path, actor="me", contract=CONTRACT)
    assert datasets.scan(version).collect().equals(GOOD)


CELLS = st.sampled_from(
    ["1", "-7", "2.5", "x", "", "NA", "true", "2013-01-01", "2013-01-01T05:00:00Z", "007", "é"]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=12))
def test_a_csv_file_keeps_the_contract_that_was_inferred_from_it(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.mktemp("csv") / "a.csv"
    path.write_text("a,b,c\n" + "".join(",".join(row) + "\n" for row in rows))
    contract = infer(frames.collect(frames.scan(path), "a.csv"))
    report = validate(frames.scan(path, contract), contract, now=NOW)
    assert report.passed, report.summary
    assert report.rows == len(rows)


def test_missing_numbers_are_missing_whether_null_or_not_a_number() -> None:
    contract = Contract(columns=(Column(name="v", type="float", nullable=False),))
    report = validate(pl.LazyFrame({"v": [1.0, float("nan"), None]}), contract, now=NOW)
    assert [(v.rule, v.count) for v in report.violations] == [("nulls", 2)]
    assert [row for row, _ in report.violations[0].examples] == [1, 2]


def test_a_report_gives_count_share_and_at_most_five_examples() -> None:
    contract = Contract(columns=(Column(name="v", type="int", min=0, max=9),))
    values = [-1 if i % 2 else 1 for i in range(40)]
    (found,) = validate(pl.LazyFrame({"v": values}), contract, now=NOW).violations
    assert (found.column, found.rule, found.count, found.share) == ("v", "range", 20, 0.5)
    assert found.examples == tuple((row, -1) for row in (1, 3, 5, 7, 9))


def test_two_files_with_the_same_bytes_are_two_files(datasets: Datasets, tmp_path: Path) -> None:
    for name in ("a", "b"):
        GOOD.write_parquet(tmp_path / f"{name}.parquet")
    look = {"root": tmp_path, "pattern": "*.parquet", "actor": "me"}
    both = datasets.snapshot("d", **look).version  # type: ignore[arg-type]
    assert both is not None
    (tmp_path / "a.parquet").unlink()
    one = datasets.snapshot("d", **look).version  # type: ignore[arg-type]
    assert one is not None
    assert (both.rows, both.files, one.rows, one.files) == (4, 2, 2, 1)
    assert datasets.scan(one).collect().height == 2
    assert datasets.scan(both).collect().height == 4


def test_frames_of_others_are_taken_and_what_is_no_table_is_not() -> None:
    pyarrow = pytest.importorskip("pyarrow")
    assert frames.to_polars(pyarrow.table({"a": [1]})).rows() == [(1,)]
    assert frames.to_polars(pyarrow.RecordBatch.from_pydict({"a": [1]})).rows() == [(1,)]
    assert frames.to_polars(pl.LazyFrame({"a": [1]})).rows() == [(1,)]
    for wrong in (pl.Series([1]), [1], None, {"a": [1], "b": [1, 2]}):
        with pytest.raises(Usage):
            frames.to_polars(wrong)


def test_pandas_frames_are_taken() -> None:
    pandas = pytest.importorskip("pandas")
    given = pandas.DataFrame({"n": [1, None], "s": ["x", None]}, index=[5, 6])
    assert frames.to_polars(given).rows() == [(1.0, "x"), (None, None)]
    with pytest.raises(Usage):
        frames.to_polars(pandas.DataFrame({"mixed": [1, object()]}))
    with pytest.raises(Usage):
        frames.to_polars(given["n"])
