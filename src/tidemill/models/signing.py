"""Signatures of bundles: a DSSE envelope with Ed25519 around the digest of every file.

The payload is an in-toto statement: its subjects are the bundle's files, its predicate says which
run made the model from which code, data and environment. The envelope lies in the bundle beside
the manifest.

Reference:
    DSSE, https://github.com/secure-systems-lab/dsse; in-toto attestation framework v1,
    https://github.com/in-toto/attestation; Ed25519, RFC 8032.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from tidemill.core import digest
from tidemill.models.bundle import MANIFEST, SIGNATURE, open_bundle
from tidemill.models.errors import BundleDamaged, KeyUnusable, NotSigned

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:tidemill:bundle:1"


class Provenance(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where a model comes from.

    Attributes:
        model: The model's name.
        version: Its version, where it has one.
        run: The run that made it.
        commit: The commit of the code, where it was committed.
        datasets: The dataset versions that it learned from.
        environment: The digest of the environment's lock.
    """

    model: str
    version: int | None = None
    run: str | None = None
    commit: str | None = None
    datasets: tuple[str, ...] = ()
    environment: str | None = None


class Subject(msgspec.Struct, frozen=True):
    """One file of the bundle and its SHA-256."""

    name: str
    digest: dict[str, str]


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """What is signed."""

    kind: str = msgspec.field(name="_type", default=STATEMENT_TYPE)
    subject: tuple[Subject, ...]
    predicateType: str = PREDICATE_TYPE  # noqa: N815 - in-toto's name
    predicate: Provenance


class EnvelopeSignature(msgspec.Struct, frozen=True):
    """One signature, base64, and which key made it."""

    keyid: str
    sig: str


class Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A DSSE envelope: the payload in base64, its type, and signatures of both."""

    payloadType: str  # noqa: N815 - DSSE's name
    payload: str
    signatures: tuple[EnvelopeSignature, ...]


class PublicKey(msgspec.Struct, frozen=True):
    """Whom to believe.

    Attributes:
        key: The 32 bytes as 64 hexadecimal digits.
        owner: A name for people.
        status: A revoked key's signatures count for nothing.
    """

    key: str
    owner: str = ""
    status: Literal["valid", "revoked"] = "valid"

    @property
    def id(self) -> str:
        """The SHA-256 of the key's bytes, by which envelopes name it."""
        return digest.of_bytes(bytes.fromhex(self.key))


class Signer:
    """Holds a private key.

    Args:
        key: The key.
        owner: A name for people.
    """

    def __init__(self, key: Ed25519PrivateKey, *, owner: str = "") -> None:
        self._key = key
        self.public = PublicKey(key.public_key().public_bytes_raw().hex(), owner)

    @classmethod
    def open(cls, path: Path, *, owner: str = "") -> Signer:
        """Read the key from a PEM file; one that is missing is made, readable to its owner only.

        Raises:
            KeyUnusable: The file holds no Ed25519 key.
        """
        from cryptography.exceptions import UnsupportedAlgorithm
        from cryptography.hazmat.primitives import serialization
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        if not path.exists():
            return cls(_create(path), owner=owner)
        try:
            key = serialization.load_pem_private_key(path.read_bytes(), password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise _unusable(path) from error
        if not isinstance(key, Ed25519PrivateKey):
            raise _unusable(path)
        return cls(key, owner=owner)

    def sign(self, payload: bytes, *, payload_type: str = PAYLOAD_TYPE) -> Envelope:
        """Return an envelope around a payload."""
        signature = self._key.sign(encoded(payload_type, payload))
        return Envelope(
            payloadType=payload_type,
            payload=base64.b64encode(payload).decode(),
            signatures=(EnvelopeSignature(self.public.id, base64.b64encode(signature).decode()),),
        )


def sign_bundle(folder: Path, signer: Signer, provenance: Provenance) -> Envelope:
    """Sign a bundle and lay the envelope into it.

    Raises:
        BundleDamaged: A file is not the one that the manifest names.
    """
    manifest = open_bundle(folder)
    content = (folder / MANIFEST).read_bytes()
    files = {MANIFEST: digest.of_bytes(content), **{f.path: f.digest for f in manifest.files}}
    statement = Statement(
        subject=tuple(Subject(name, {"sha256": files[name]}) for name in sorted(files)),
        predicate=provenance,
    )
    envelope = signer.sign(digest.canonical(statement))
    draft = folder / f"{SIGNATURE}.part"
    draft.write_bytes(msgspec.json.encode(envelope))
    draft.replace(folder / SIGNATURE)
    return envelope


def verify_bundle(folder: Path, keys: Iterable[PublicKey]) -> Provenance:
    """Check that one of `keys` signed exactly the files that lie in the bundle.

    Raises:
        NotSigned: There is no envelope, no known key signed it, or its key is revoked.
        BundleDamaged: The files are not those that were signed.
    """
    manifest = open_bundle(folder)
    statement = _statement(folder, tuple(keys))
    signed = {s.name: s.digest.get("sha256") for s in statement.subject}
    content = (folder / MANIFEST).read_bytes()
    found = {MANIFEST: digest.of_bytes(content), **{f.path: f.digest for f in manifest.files}}
    if signed != found:
        names = sorted(n for n in signed.keys() | found.keys() if signed.get(n) != found.get(n))
        raise BundleDamaged(f"The signature in {folder} is for another {names[0]}.")
    return statement.predicate


def encoded(payload_type: str, payload: bytes) -> bytes:
    """Return what is signed: DSSE's pre-authentication encoding.

    Example:
        >>> encoded("http://example.com/HelloWorld", b"hello world")
        b'DSSEv1 29 http://example.com/HelloWorld 11 hello world'
    """
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def _statement(folder: Path, keys: tuple[PublicKey, ...]) -> Statement:
    try:
        envelope = msgspec.json.decode((folder / SIGNATURE).read_bytes(), type=Envelope)
        payload = base64.b64decode(envelope.payload, validate=True)
    except FileNotFoundError as error:
        raise NotSigned(
            f"The bundle in {folder} is not signed.",
            hint='Sign it, or set trust = "own" in the policy.',
        ) from error
    except (msgspec.DecodeError, binascii.Error) as error:
        raise NotSigned(f"The signature in {folder} cannot be read: {error}.") from error
    _check(folder, envelope, payload, keys)
    try:
        statement = msgspec.json.decode(payload, type=Statement)
    except msgspec.DecodeError as error:
        raise NotSigned(f"What was signed in {folder} is no statement: {error}.") from error
    if (statement.kind, statement.predicateType) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise NotSigned(f"What was signed in {folder} is a {statement.predicateType}.")
    return statement


def _check(folder: Path, envelope: Envelope, payload: bytes, keys: tuple[PublicKey, ...]) -> None:
    """Raise unless a valid key that we know made one of the signatures."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    known = {key.id: key for key in keys}
    named = [s for s in envelope.signatures if s.keyid in known]
    for signature in named:
        key = known[signature.keyid]
        if key.status == "revoked":
            raise NotSigned(
                f"The bundle in {folder} was signed with a key that is revoked ({key.id[:12]})."
            )
        try:
            public = Ed25519PublicKey.from_public_bytes(bytes.fromhex(key.key))
            public.verify(
                base64.b64decode(signature.sig, validate=True),
                encoded(envelope.payloadType, payload),
            )
        except (InvalidSignature, ValueError):
            continue
        if envelope.payloadType == PAYLOAD_TYPE:
            return
    who = ", ".join(s.keyid[:12] for s in envelope.signatures) or "nobody"
    raise NotSigned(
        f"The signature of the bundle in {folder} is not valid: it names {who}.",
        expected=f"a signature by one of {len(known)} known keys"
        if known
        else "a known key, and none is configured",
    )


def _create(path: Path) -> Ed25519PrivateKey:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    key = Ed25519PrivateKey.generate()
    content = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, content)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    return key


def _unusable(path: Path) -> KeyUnusable:
    return KeyUnusable(
        f"{path} holds no Ed25519 private key.", expected="an unencrypted PEM file (PKCS#8)"
    )
