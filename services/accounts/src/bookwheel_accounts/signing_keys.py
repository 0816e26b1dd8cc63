"""The ES256 keys that sign tokens, and their public keys as a JWKS."""

import base64
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import ECAlgorithm

ALGORITHM = "ES256"
_OTHERS_MASK = 0o007


class KeyFileError(Exception):
    """The key file is missing, readable by other users, or not an ES256 key."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """`key_id` is the RFC 7638 thumbprint, so a key has the same id on every replica."""

    key_id: str
    private: ec.EllipticCurvePrivateKey
    public_jwk: Mapping[str, str]

    @classmethod
    def from_private_key(cls, private: ec.EllipticCurvePrivateKey) -> "SigningKey":
        jwk = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
        canonical = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        key_id = base64.urlsafe_b64encode(hashlib.sha256(canonical.encode()).digest()).rstrip(b"=").decode()
        return cls(key_id, private, {**jwk, "kid": key_id, "use": "sig", "alg": ALGORITHM})


class KeyRing:
    """The last key signs. All keys are published and accepted, so tokens outlive a rotation."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        if not keys:
            raise KeyFileError("signing key is unavailable: there is none")
        self._signing = keys[-1]
        self._keys = {key.key_id: key for key in keys}

    def sign(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(
            dict(claims), self._signing.private, algorithm=ALGORITHM, headers={"kid": self._signing.key_id}
        )

    def read(self, token: str, *, issuer: str, audience: str) -> dict[str, Any]:
        """Returns the verified claims. Raises jwt.InvalidTokenError."""
        key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise jwt.InvalidTokenError("unknown key")
        return jwt.decode(
            token,
            key.private.public_key(),
            algorithms=[ALGORITHM],
            audience=audience,
            issuer=issuer,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )

    def jwks(self) -> dict[str, list[Mapping[str, str]]]:
        return {"keys": [key.public_jwk for key in self._keys.values()]}


def load_key_ring(path: Path) -> KeyRing:
    """Loads a PEM file, or all `*.pem` files of a folder, sorted by name. Raises KeyFileError."""
    files = sorted(path.glob("*.pem")) if path.is_dir() else [path]
    if not files or not files[0].exists():
        raise KeyFileError(f"signing key {path} is unavailable: create it with `bookwheel-accounts keygen {path}`")
    return KeyRing([_load(file) for file in files])


def _load(file: Path) -> SigningKey:
    if file.stat().st_mode & _OTHERS_MASK:
        raise KeyFileError(f"signing key {file} is invalid: other users can read it. Run `chmod 600 {file}`")
    try:
        private = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(
            f"signing key {file} is invalid: it must be an unencrypted PEM private key. {error}"
        ) from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise KeyFileError(f"signing key {file} is invalid: ES256 needs a P-256 key")
    return SigningKey.from_private_key(private)


def create_key_file(path: Path) -> Path:
    """Writes a new key to `path` if it is a `.pem`, else to the folder `path` as its newest key.

    The file has mode 0600; a new folder has 0700. Raises FileExistsError instead of overwriting a key.
    """
    if path.suffix != ".pem":
        path /= f"signing-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.pem"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private = ec.generate_private_key(ec.SECP256R1())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(pem)
    return path
