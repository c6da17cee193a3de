"""Bundle signatures: Ed25519 over the bytes of the manifest, which holds the hashes of all other files.

Hashes detect damage. An attacker who changes a bundle can recompute the hashes, but not the signature.
"""

import base64
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, cast

from clearcast.core.errors import OutputError
from clearcast.core.json_schema import matches_type, parse_json

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


class SignatureContent(TypedDict):
    """Content of ``manifest.sig``, both in base64; ``key`` is the public key (32 bytes) of the claimed signer."""

    key: str
    signature: str


@dataclass(frozen=True, kw_only=True)
class TrustedSigners:
    """Trusted public keys, 32 bytes each."""

    keys: frozenset[bytes]

    def require(self, manifest: bytes, signature: bytes | None, where: str) -> None:
        """Require that one of the keys signed a manifest.

        Args:
            manifest: the bytes of ``manifest.json``.
            signature: the bytes of ``manifest.sig``; None if there is none.
            where: path of the bundle, for messages.

        Raises:
            OutputError: it is not signed, is signed by another key, or was changed after it was signed.
        """
        if signature is None:
            raise OutputError(
                f"{where}: is not signed, and only bundles signed by a trusted key are accepted; its author can sign "
                "it with 'clearcast export BUNDLE OUT --sign KEY'"
            )
        key, signed = _parse_signature(signature, where)
        if key not in self.keys:
            raise OutputError(f"{where}: is signed by a key that is not trusted; do not use it, or trust that key too")
        if not _is_valid(key, signed, manifest):
            raise OutputError(
                f"{where}: the manifest was changed after it was signed; do not use it, use the original bundle"
            )


def read_trusted_signers(paths: Sequence[Path]) -> TrustedSigners:
    """Read public keys, PEM files as ``generate_keys`` writes them.

    Raises:
        OutputError: there is none, or a file is not an Ed25519 public key.
    """
    if not paths:
        raise OutputError("expected at least one public key to trust, got none")
    return TrustedSigners(keys=frozenset(_read_public_key(path) for path in paths))


def generate_keys(private: Path, public: Path) -> None:
    """Write a new private key, readable by its owner only, and its public key, both as PEM files.

    Raises:
        OutputError: one of the files exists, or cannot be written.
    """
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    for path in (private, public):
        if path.exists():
            raise OutputError(f"{path} already exists, and a key is never overwritten; choose another name")
    key = Ed25519PrivateKey.generate()
    encoding = serialization.Encoding.PEM
    private_pem = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public_pem = key.public_key().public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)
    for path, content, mode in ((private, private_pem, 0o600), (public, public_pem, 0o644)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                file.write(content)
        except OSError as error:
            raise OutputError(f"{path}: the key cannot be written ({error})") from None


def read_private_key(path: Path) -> "Ed25519PrivateKey":
    """Read a private key, a PEM file as ``generate_keys`` writes it.

    Raises:
        OutputError: it is not an Ed25519 private key without a password.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(_read_key(path), password=None)
    except (ValueError, TypeError) as error:  # TypeError for a key with a password
        raise OutputError(f"{path}: expected a private key as 'clearcast keygen' writes it ({error})") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise OutputError(f"{path}: expected an Ed25519 key, as 'clearcast keygen' writes it, got one of another type")
    return key


def sign_manifest(manifest: bytes, key: "Ed25519PrivateKey") -> bytes:
    """Sign a manifest, and return the content of its ``manifest.sig``."""
    signature: SignatureContent = {
        "key": base64.b64encode(key.public_key().public_bytes_raw()).decode(),
        "signature": base64.b64encode(key.sign(manifest)).decode(),
    }
    return (json.dumps(signature, indent=1) + "\n").encode()


def _read_public_key(path: Path) -> bytes:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    data = _read_key(path)
    if b"PRIVATE KEY" in data:
        raise OutputError(f"{path}: expected a public key, got a private one; keep it secret")
    try:
        key = load_pem_public_key(data)
    except ValueError as error:
        raise OutputError(f"{path}: expected a public key as 'clearcast keygen' writes it ({error})") from None
    if not isinstance(key, Ed25519PublicKey):
        raise OutputError(f"{path}: expected an Ed25519 key, as 'clearcast keygen' writes it, got one of another type")
    return key.public_bytes_raw()


def _read_key(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise OutputError(f"{path}: the key cannot be read ({error})") from None


def _parse_signature(text: bytes, where: str) -> tuple[bytes, bytes]:
    """Return public key and signature."""
    try:
        content = parse_json(text)
        if not matches_type(content, SignatureContent):
            raise ValueError("expected a key and a signature")
        signed = cast(SignatureContent, content)
        return base64.b64decode(signed["key"], validate=True), base64.b64decode(signed["signature"], validate=True)
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{where}: the signature is damaged ({error}); copy the bundle again") from None


def _is_valid(key: bytes, signature: bytes, manifest: bytes) -> bool:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, manifest)
    except InvalidSignature:
        return False
    return True
