"""Signatures: what is signed is what is there, by a key that counts."""

from __future__ import annotations

import base64
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tidemill.models.bundle import MANIFEST, SIGNATURE
from tidemill.models.errors import BundleDamaged, KeyUnusable, NotSigned, NotTrusted
from tidemill.models.loading import load_original
from tidemill.models.packing import pack
from tidemill.models.signing import (
    Envelope,
    Provenance,
    PublicKey,
    Signer,
    sign_bundle,
    verify_bundle,
)
from tidemill.testing.flavors import WHEN, contract_of

from .examples import python_function, sklearn_regression

PROVENANCE = Provenance(model="m", version=3, run="0192", datasets=("flights@3f9a",))


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return Signer.open(tmp_path / "keys" / "signing.pem", owner="lab")


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return packed(tmp_path, python_function())


def packed(tmp_path: Path, example: object) -> Path:
    folder = tmp_path / "bundle"
    pack(
        example.model,  # type: ignore[attr-defined]
        name="m",
        task=example.task,  # type: ignore[attr-defined]
        contract=contract_of(example.rows),  # type: ignore[attr-defined]
        sample=example.rows,  # type: ignore[attr-defined]
        folder=folder,
        created=WHEN,
    )
    return folder


def test_a_signature_says_where_a_model_comes_from(bundle: Path, signer: Signer) -> None:
    sign_bundle(bundle, signer, PROVENANCE)
    assert verify_bundle(bundle, [signer.public]) == PROVENANCE


def test_the_key_is_kept_private_and_found_again(tmp_path: Path, signer: Signer) -> None:
    path = tmp_path / "keys" / "signing.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    assert Signer.open(path).public.key == signer.public.key


def test_an_unsigned_bundle_is_refused_where_pickles_need_a_signature(
    bundle: Path, signer: Signer
) -> None:
    with pytest.raises(NotSigned, match="not signed"):
        load_original(bundle, trust="signed", keys=[signer.public])
    with pytest.raises(NotTrusted):
        load_original(bundle, trust="never")
    sign_bundle(bundle, signer, PROVENANCE)
    load_original(bundle, trust="signed", keys=[signer.public])


def test_a_format_without_code_needs_no_signature(tmp_path: Path) -> None:
    load_original(packed(tmp_path, sklearn_regression()), trust="signed")


def test_a_stranger_s_key_does_not_count(bundle: Path, signer: Signer, tmp_path: Path) -> None:
    sign_bundle(bundle, signer, PROVENANCE)
    stranger = Signer.open(tmp_path / "other.pem")
    with pytest.raises(NotSigned, match="known keys"):
        verify_bundle(bundle, [stranger.public])
    with pytest.raises(NotSigned, match="none is configured"):
        verify_bundle(bundle, [])


def test_a_revoked_key_does_not_count(bundle: Path, signer: Signer) -> None:
    sign_bundle(bundle, signer, PROVENANCE)
    revoked = PublicKey(signer.public.key, "lab", "revoked")
    with pytest.raises(NotSigned, match="revoked"):
        verify_bundle(bundle, [revoked])


def test_a_changed_bundle_does_not_pass_with_the_old_signature(
    bundle: Path, signer: Signer
) -> None:
    sign_bundle(bundle, signer, PROVENANCE)
    manifest = bundle / MANIFEST
    manifest.write_bytes(manifest.read_bytes().replace(b'"name": "m"', b'"name": "n"'))
    with pytest.raises(BundleDamaged, match=MANIFEST):
        verify_bundle(bundle, [signer.public])


@pytest.mark.parametrize("part", ["payload", "payloadType", "sig"])
def test_a_changed_envelope_is_refused(bundle: Path, signer: Signer, part: str) -> None:
    envelope = sign_bundle(bundle, signer, PROVENANCE)
    raw = msgspec.to_builtins(envelope)
    if part == "payload":
        payload = base64.b64decode(raw["payload"]).replace(b'"version":3', b'"version":4')
        raw["payload"] = base64.b64encode(payload).decode()
    elif part == "payloadType":
        raw["payloadType"] = "application/json"
    else:
        raw["signatures"][0]["sig"] = base64.b64encode(bytes(64)).decode()
    (bundle / SIGNATURE).write_bytes(msgspec.json.encode(msgspec.convert(raw, Envelope)))
    with pytest.raises(NotSigned, match="not valid"):
        verify_bundle(bundle, [signer.public])


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"\xff", b'{"payload":1}'])
def test_an_unreadable_envelope_is_refused(bundle: Path, signer: Signer, content: bytes) -> None:
    (bundle / SIGNATURE).write_bytes(content)
    with pytest.raises(NotSigned, match="cannot be read"):
        verify_bundle(bundle, [signer.public])


def test_something_else_that_was_signed_is_no_statement(bundle: Path, signer: Signer) -> None:
    envelope = signer.sign(b'{"hello": "world"}')
    (bundle / SIGNATURE).write_bytes(msgspec.json.encode(envelope))
    with pytest.raises(NotSigned, match="no statement"):
        verify_bundle(bundle, [signer.public])


def test_a_key_of_another_kind_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("no key")
    with pytest.raises(KeyUnusable):
        Signer.open(path)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    with pytest.raises(KeyUnusable, match="Ed25519"):
        Signer.open(path)
