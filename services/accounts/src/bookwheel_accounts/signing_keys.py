"""Loads the ES256 keys, signs and verifies tokens, and publishes the public keys as a JWKS."""

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
_OTHER_USERS_MASK = 0o007


class KeyFileError(Exception):
    """The key file does not exist, is readable by other users, or does not contain an ES256 key."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A signing key. `key_id` is its RFC 7638 thumbprint, which is the same on all replicas."""

    key_id: str
    private_key: ec.EllipticCurvePrivateKey
    public_jwk: Mapping[str, str]

    @classmethod
    def from_private_key(cls, private_key: ec.EllipticCurvePrivateKey) -> "SigningKey":
        jwk = ECAlgorithm.to_jwk(private_key.public_key(), as_dict=True)
        canonical_jwk = json.dumps({name: jwk[name] for name in ("crv", "kty", "x", "y")}, separators=(",", ":"))
        key_id = base64.urlsafe_b64encode(hashlib.sha256(canonical_jwk.encode()).digest()).rstrip(b"=").decode()
        return cls(key_id, private_key, {**jwk, "kid": key_id, "use": "sig", "alg": ALGORITHM})


class KeyRing:
    """Signs with the last key, and accepts and publishes all keys, so that tokens stay valid after a rotation."""

    def __init__(self, keys: Sequence[SigningKey]) -> None:
        if not keys:
            raise KeyFileError("the key ring is empty: at least one signing key is required")
        self._signing_key = keys[-1]
        self._keys = {key.key_id: key for key in keys}

    def sign(self, claims: Mapping[str, Any]) -> str:
        return jwt.encode(
            dict(claims), self._signing_key.private_key, algorithm=ALGORITHM, headers={"kid": self._signing_key.key_id}
        )

    def verify(self, token: str, *, issuer: str, audience: str) -> dict[str, Any]:
        """Returns the verified claims. Raises jwt.InvalidTokenError."""
        key = self._keys.get(str(jwt.get_unverified_header(token).get("kid")))
        if key is None:
            raise jwt.InvalidTokenError("unknown key")
        return jwt.decode(
            token,
            key.private_key.public_key(),
            algorithms=[ALGORITHM],
            audience=audience,
            issuer=issuer,
            options={"require": ["exp", "iat", "iss", "aud", "sub"]},
        )

    def jwks(self) -> dict[str, list[Mapping[str, str]]]:
        return {"keys": [key.public_jwk for key in self._keys.values()]}


def load_key_ring(path: Path) -> KeyRing:
    """Loads a PEM file, or all `*.pem` files of a folder, sorted by name. Raises KeyFileError."""
    file_paths = sorted(path.glob("*.pem")) if path.is_dir() else [path]
    if not file_paths or not file_paths[0].exists():
        raise KeyFileError(f"signing key {path} does not exist: create it with `bookwheel-accounts keygen {path}`")
    return KeyRing([_load_key(file_path) for file_path in file_paths])


def _load_key(path: Path) -> SigningKey:
    if path.stat().st_mode & _OTHER_USERS_MASK:
        raise KeyFileError(f"signing key {path} is invalid: other users can read it. Run `chmod 600 {path}`")
    try:
        private_key = load_pem_private_key(path.read_bytes(), password=None)
    except (ValueError, TypeError) as error:
        raise KeyFileError(
            f"signing key {path} is invalid: it must be an unencrypted PEM private key. {error}"
        ) from error
    if not isinstance(private_key, ec.EllipticCurvePrivateKey) or not isinstance(private_key.curve, ec.SECP256R1):
        raise KeyFileError(f"signing key {path} is invalid: it must be a P-256 key")
    return SigningKey.from_private_key(private_key)


def create_key_file(path: Path) -> Path:
    """Writes a new key to the `.pem` file `path`, or to a new file in the folder `path`. Returns the file's path.

    The file has mode 0600, a new folder 0700. Raises FileExistsError if the file exists.
    """
    if path.suffix != ".pem":
        path /= f"signing-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}.pem"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_key = ec.generate_private_key(ec.SECP256R1())
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file_handle:
        file_handle.write(pem)
    return path
