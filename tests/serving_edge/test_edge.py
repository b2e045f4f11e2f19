"""Edge bundles: what leaves the house answers as at home, and refuses what is not itself."""

from __future__ import annotations

import json
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tidemill.models.errors import BundleDamaged, NoTwin
from tidemill.models.packing import pack
from tidemill.models.session import OnnxModel
from tidemill.models.signing import Signer
from tidemill.serving.edge import runner
from tidemill.serving.edge.errors import OutputExists
from tidemill.serving.edge.exporting import export

from .conftest import CONTRACT, PROVENANCE, WHEN, flights, make_bundle

ROW: dict[str, Any] = {"carrier": "UA", "temp": 40.5, "seats": 120, "hub": True}


def run(
    python: Path, folder: Path, *arguments: str, rows: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(python), "-I", "-W", "error", str(folder / "runner.py"), *arguments],
        input=rows,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        timeout=60,
    )


def test_the_bare_environment_is_bare(bare_python: Path) -> None:
    others = ("tidemill", "msgspec", "cryptography", "polars", "sklearn", "onnx", "pip")
    code = (
        "import onnxruntime, numpy, importlib.util as u\n"
        f"print([m for m in {others!r} if u.find_spec(m)])"
    )
    found = subprocess.run(
        [str(bare_python), "-I", "-c", code], capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "[]"


def test_a_bare_machine_answers_as_home_does(
    bundle: Path, signer: Signer, tmp_path: Path, bare_python: Path
) -> None:
    written = export(bundle, tmp_path / "edge.tar", signer=signer, provenance=PROVENANCE)
    folder = tmp_path / "there"
    with tarfile.open(tmp_path / "edge.tar") as archive:
        archive.extractall(folder, filter="data")
    home = OnnxModel(bundle)
    rows = flights(50).select(c.name for c in home.signature.features).to_dicts()
    key = ("--key", written.key)
    found = run(bare_python, folder, "predict", *key, rows=json.dumps(rows))
    assert found.returncode == 0, found.stderr
    assert not found.stderr
    answers = json.loads(found.stdout)["predictions"]
    expected = home.predict({n: [r[n] for r in rows] for n in rows[0]})
    assert [a["prediction"] for a in answers] == expected.values.tolist()
    if expected.scores is not None:
        ours = [a.get("score") or list(a["scores"].values()) for a in answers]
        assert np.allclose(ours, expected.scores, atol=1e-12)
    said = json.loads(run(bare_python, folder, "describe", *key).stdout)
    assert said["provenance"]["version"] == 7
    assert said["model"] == "flight-delay"


def test_rows_come_as_json_or_csv_and_answers_go_as_either(
    edge: Path, signer: Signer, bare_python: Path, tmp_path: Path
) -> None:
    key = ("--key", signer.public.key)
    one = json.loads(run(bare_python, edge, "predict", *key, rows=json.dumps(ROW)).stdout)
    columns = {name: [value] for name, value in ROW.items()}
    assert (
        json.loads(run(bare_python, edge, "predict", *key, rows=json.dumps(columns)).stdout) == one
    )
    table = tmp_path / "rows.csv"
    table.write_text("\ufeffhub,seats,temp,carrier,other\ntrue,120,40.5,UA,x\nfalse,99,,,y\n")
    listed = json.loads(run(bare_python, edge, "predict", *key, "--input", str(table)).stdout)
    assert listed["predictions"][0] == one["predictions"][0]
    assert len(listed["predictions"]) == 2
    printed = run(
        bare_python, edge, "predict", *key, "--from", "csv", "--to", "csv", rows=table.read_text()
    )
    header, first, _ = printed.stdout.splitlines()
    assert header == "prediction,score"
    assert float(first.split(",")[1]) == one["predictions"][0]["score"]


def test_without_a_pinned_key_it_says_what_that_means(edge: Path, bare_python: Path) -> None:
    found = run(bare_python, edge, "verify")
    assert found.returncode == 0
    assert "no key is pinned" in found.stderr


def test_another_key_is_not_trusted(edge: Path, tmp_path: Path, bare_python: Path) -> None:
    stranger = Signer.open(tmp_path / "stranger.pem").public.key
    found = run(bare_python, edge, "predict", "--key", stranger, rows=json.dumps(ROW))
    assert (found.returncode, found.stdout) == (1, "")
    assert "not signed by the key" in found.stderr
    assert "Traceback" not in found.stderr


def test_a_forger_who_signs_again_is_found_by_the_pinned_key(
    edge: Path, signer: Signer, tmp_path: Path
) -> None:
    forger = Signer.open(tmp_path / "forger.pem")
    folder = make_bundle(tmp_path / "other", "regression")
    export(folder, tmp_path / "forged", signer=forger, provenance=PROVENANCE)
    runner.verify(tmp_path / "forged")
    with pytest.raises(runner.NotTrusted):
        runner.verify(tmp_path / "forged", signer.public.key)


@pytest.mark.parametrize("name", ["model.onnx", "edge.json", "runner.py", "README.txt"])
@pytest.mark.parametrize("how", ["changed", "gone", "link"])
def test_a_file_that_is_not_the_signed_one_is_refused(
    edge: Path, signer: Signer, tmp_path: Path, name: str, how: str
) -> None:
    path = edge / name
    content = path.read_bytes()
    path.unlink()
    if how == "changed":
        path.write_bytes(content + b" ")
    elif how == "link":
        (tmp_path / "elsewhere").write_bytes(content)
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(runner.NotTrusted, match=name):
        runner.Model(edge, key=signer.public.key)


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[]", b"nonsense", b'{"payload":1,"payloadType":2,"signatures":[]}']
)
def test_a_broken_envelope_is_refused(edge: Path, content: bytes) -> None:
    (edge / runner.SIGNATURE).write_bytes(content)
    with pytest.raises(runner.NotTrusted):
        runner.verify(edge)


@pytest.mark.parametrize("key", ["", "12", "zz" * 32, "../key"])
def test_a_key_that_is_none_is_refused(edge: Path, key: str) -> None:
    if key:
        with pytest.raises(runner.NotTrusted, match="64 hexadecimal"):
            runner.verify(edge, key)
    else:
        (edge / runner.SIGNER).write_text("")
        with pytest.raises(runner.NotTrusted, match="64 hexadecimal"):
            runner.verify(edge)


def sign_other(edge: Path, signer: Signer, statement: dict[str, Any]) -> None:
    envelope = signer.sign(json.dumps(statement).encode())
    (edge / runner.SIGNATURE).write_text(
        json.dumps(
            {
                "payloadType": envelope.payloadType,
                "payload": envelope.payload,
                "signatures": [{"keyid": s.keyid, "sig": s.sig} for s in envelope.signatures],
            }
        )
    )


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", ".hidden", "a/b", "", "x\n"])
def test_even_a_signed_name_cannot_leave_the_folder(edge: Path, signer: Signer, name: str) -> None:
    subject = [{"name": name, "digest": {"sha256": "0" * 64}}]
    statement = {"predicateType": runner.PREDICATE_TYPE, "subject": subject, "predicate": {}}
    sign_other(edge, signer, statement)
    with pytest.raises(runner.NotTrusted, match="cannot be a file"):
        runner.verify(edge, signer.public.key)


@pytest.mark.parametrize(
    "statement",
    [
        {},
        {"predicateType": "other"},
        {"predicateType": runner.PREDICATE_TYPE},
        {"predicateType": runner.PREDICATE_TYPE, "subject": [], "predicate": {}},
        {"predicateType": runner.PREDICATE_TYPE, "subject": [{}], "predicate": {}},
    ],
)
def test_something_else_that_was_signed_is_no_bundle(
    edge: Path, signer: Signer, statement: dict[str, Any]
) -> None:
    sign_other(edge, signer, statement)
    with pytest.raises(runner.NotTrusted):
        runner.verify(edge, signer.public.key)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "no JSON"),
        ("[]", "no rows|missing"),
        ("3", "no record"),
        ('{"carrier": "UA"}', "'temp'"),
        (json.dumps(ROW | {"temp": "hot"}), "'temp' holds 'hot'"),
        (json.dumps(ROW | {"temp": 999}), "-100.0 to 200.0"),
        (json.dumps(ROW | {"temp": True}), "a number"),
        (json.dumps(ROW | {"seats": 1.5}), "a whole number"),
        (json.dumps(ROW | {"seats": None}), "missing value"),
        (json.dumps(ROW | {"hub": 1}), "true or false"),
        (json.dumps(ROW | {"carrier": 1}), "a string"),
        (json.dumps(ROW | {"carrier": "\ud800"}), "UTF-8"),
        (json.dumps(ROW).replace("40.5", "NaN"), "NaN"),
        (json.dumps(ROW).replace("40.5", "1e999"), "-100.0 to 200.0"),
        ('{"temp": 1, "temp": 2}', "twice"),
        ("[" * 100_000, "no JSON"),
    ],
)
def test_rows_that_do_not_fit_are_refused_by_name(
    edge: Path,
    rows: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    path = tmp_path / "rows.json"
    path.write_text(rows)
    assert runner.main(["predict", "--bundle", str(edge), "--input", str(path)]) == 5
    found = capsys.readouterr()
    assert found.out == ""
    assert re.search(message, found.err), found.err


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("", "empty"),
        ("carrier,temp,seats\n", "'hub'"),
        ("carrier,temp,seats,hub,hub\n", "'hub'"),
        ("carrier,temp,seats,hub\nUA,1\n", "line 2 has 2 fields"),
        ("carrier,temp,seats,hub\nUA,warm,1,true\n", "'temp' holds 'warm'"),
        ("carrier,temp,seats,hub\nUA,nan,,true\n", "'seats' has a missing"),
        ("carrier,temp,seats,hub\nUA,1,2,maybe\n", "'hub'"),
        ('carrier,temp,seats,hub\n"UA,1,2,true\n', "no CSV"),
        ("carrier,temp,seats,hub\n", "no rows"),
    ],
)
def test_csv_that_does_not_fit_is_refused(
    edge: Path, rows: str, message: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    path.write_text(rows)
    assert runner.main(["predict", "--bundle", str(edge), "--input", str(path)]) == 5
    assert message in capsys.readouterr().err


def test_the_runner_takes_arrays(edge: Path, signer: Signer) -> None:
    rows = flights(20)
    model = runner.Model(edge, key=signer.public.key)
    lists = model.predict({n: rows[n].to_list() for n in rows.columns})
    arrays: dict[str, Any] = {n: rows[n].to_numpy() for n in ("seats", "hub", "temp")}
    assert model.predict({**arrays, "carrier": rows["carrier"].to_list()}) == lists


def test_an_archive_is_the_same_for_the_same_model(tmp_path: Path, signer: Signer) -> None:
    bundle = make_bundle(tmp_path / "bundle", "regression")
    for name in ("a.tar", "b.tar"):
        export(bundle, tmp_path / name, signer=signer, provenance=PROVENANCE)
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        assert all(m.isfile() and "/" not in m.name for m in archive.getmembers())
    with pytest.raises(OutputExists):
        export(bundle, tmp_path / "a.tar", signer=signer, provenance=PROVENANCE)


def test_only_what_can_be_trusted_at_the_edge_leaves(tmp_path: Path, signer: Signer) -> None:
    x = flights(30)
    pack(
        lambda rows: rows["seats"],
        name="m",
        task="regression",
        contract=CONTRACT,
        sample=x,
        folder=tmp_path / "b",
        created=WHEN,
    )
    with pytest.raises(NoTwin, match="unpickled"):
        export(tmp_path / "b", tmp_path / "edge", signer=signer, provenance=PROVENANCE)
    broken = make_bundle(tmp_path / "c", "regression")
    (broken / "model.onnx").write_bytes(b"other")
    with pytest.raises(BundleDamaged):
        export(broken, tmp_path / "edge", signer=signer, provenance=PROVENANCE)
    assert not (tmp_path / "edge").exists()
