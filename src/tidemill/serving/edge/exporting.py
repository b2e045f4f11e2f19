"""Writes a model version as an edge bundle: the twin, its contract, a runner, and a signature."""

from __future__ import annotations

import io
import secrets
import shutil
import tarfile
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from tidemill.core import digest
from tidemill.models.bundle import open_bundle
from tidemill.models.errors import NoTwin
from tidemill.models.records import Manifest
from tidemill.models.signing import STATEMENT_TYPE, Provenance, Signer
from tidemill.serving.edge import runner
from tidemill.serving.edge.errors import OutputExists

README = """\
{name}: an edge bundle made by Tidemill.

  pip install onnxruntime numpy
  python runner.py describe
  python runner.py predict --key {key} < rows.json

The key is the signer's; keep it somewhere else than in this folder, and the runner will refuse
a bundle that anyone else made. `python runner.py --help` says the rest.
"""


class EdgeBundle(msgspec.Struct, frozen=True, kw_only=True):
    """What was written.

    Attributes:
        model: The model's name.
        path: The folder or the archive.
        size: Of all files together, in bytes.
        key: The signer's public key, to be pinned where the bundle runs.
        digest: The SHA-256 of what was signed.
    """

    model: str
    path: str
    size: int
    key: str
    digest: str


def export(bundle: Path, output: Path, *, signer: Signer, provenance: Provenance) -> EdgeBundle:
    """Write an edge bundle.

    Args:
        bundle: The model version's bundle.
        output: A folder that is not there yet, or a file whose name ends in `.tar`.
        signer: Signs it.
        provenance: Where the model comes from; is signed too.

    Raises:
        BundleDamaged: A file of the bundle is not the one that its manifest names.
        NoTwin: Only a verified twin can leave the house.
        OutputExists: There is something at `output`.
    """
    if output.exists():
        raise OutputExists(f"{output} is there already.", hint="Name another place.")
    manifest = open_bundle(bundle)
    if manifest.twin is None:
        raise NoTwin(
            f"The bundle of {manifest.name!r} has no ONNX twin: {manifest.no_twin}.",
            expected="a verified twin: nothing is unpickled at the edge, and no environment built",
            hint="Serve it with `tidemill deploy`, or score files with `tidemill predict`.",
        )
    contents = {
        runner.MODEL: (bundle / manifest.twin.file).read_bytes(),
        runner.DESCRIPTION: msgspec.json.format(msgspec.json.encode(_description(manifest))),
        "runner.py": files("tidemill.serving.edge").joinpath("runner.py").read_bytes(),
        "README.txt": README.format(name=manifest.name, key=signer.public.key).encode(),
    }
    statement = digest.canonical(_statement(contents, provenance))
    contents[runner.SIGNATURE] = msgspec.json.encode(signer.sign(statement))
    contents[runner.SIGNER] = f"{signer.public.key}\n".encode()
    _write(contents, output, manifest)
    return EdgeBundle(
        model=manifest.name,
        path=str(output),
        size=sum(map(len, contents.values())),
        key=signer.public.key,
        digest=digest.of_bytes(statement),
    )


def _description(manifest: Manifest) -> dict[str, Any]:
    """Return what the runner must know, in plain JSON."""
    signature, twin = manifest.signature, manifest.twin
    assert twin is not None
    kept = ("name", "type", "nullable", "min", "max", "values")
    return {
        "model": manifest.name,
        "task": signature.task,
        "features": [{name: getattr(c, name) for name in kept} for c in signature.features],
        "classes": signature.classes,
        "positive": signature.positive,
        "threshold": signature.threshold,
        "layout": twin.layout,
        "created": manifest.created,
        "parity": twin.parity,
        "libraries": manifest.libraries,
    }


def _statement(contents: dict[str, bytes], provenance: Provenance) -> dict[str, Any]:
    return {
        "_type": STATEMENT_TYPE,
        "subject": [
            {"name": name, "digest": {"sha256": digest.of_bytes(contents[name])}}
            for name in sorted(contents)
        ],
        "predicateType": runner.PREDICATE_TYPE,
        "predicate": provenance,
    }


def _write(contents: dict[str, bytes], output: Path, manifest: Manifest) -> None:
    """Write a folder or an archive, whole or not at all."""
    output.parent.mkdir(parents=True, exist_ok=True)
    draft = output.with_name(f".{output.name}.{secrets.token_hex(4)}.part")
    try:
        if output.suffix == ".tar":
            draft.write_bytes(_archive(contents, int(manifest.created.timestamp())))
        else:
            draft.mkdir()
            for name, content in contents.items():
                (draft / name).write_bytes(content)
        draft.rename(output)
    finally:
        if draft.is_dir():
            shutil.rmtree(draft)
        draft.unlink(missing_ok=True)


def _archive(contents: dict[str, bytes], moment: int) -> bytes:
    """Return a tar archive that is the same for the same contents."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in sorted(contents):
            entry = tarfile.TarInfo(name)
            entry.size, entry.mtime, entry.mode = len(contents[name]), moment, 0o644
            archive.addfile(entry, io.BytesIO(contents[name]))
    return buffer.getvalue()
