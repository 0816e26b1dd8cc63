"""Tests of signing keys: files, rotation, errors."""

from pathlib import Path

import jwt
import pytest
from bookwheel_accounts.signing_keys import KeyFileError, create_key_file, load_key_ring
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

CLAIMS = {"iss": "bookwheel", "aud": "bookwheel", "sub": "usr_1", "iat": 1, "exp": 4_000_000_000}


def test_key_file_is_private_and_not_overwritten(tmp_path: Path) -> None:
    path = create_key_file(tmp_path / "secrets" / "signing.pem")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        create_key_file(path)


def test_newest_key_signs_and_older_keys_stay_valid(tmp_path: Path) -> None:
    create_key_file(tmp_path)
    before = load_key_ring(tmp_path)
    old_token = before.sign(CLAIMS)
    create_key_file(tmp_path)
    after = load_key_ring(tmp_path)
    assert len(after.jwks()["keys"]) == 2
    assert after.verify(old_token, issuer="bookwheel", audience="bookwheel")["sub"] == "usr_1"
    new_kid = jwt.get_unverified_header(after.sign(CLAIMS))["kid"]
    assert new_kid != jwt.get_unverified_header(old_token)["kid"]
    with pytest.raises(jwt.InvalidTokenError):
        before.verify(after.sign(CLAIMS), issuer="bookwheel", audience="bookwheel")


def test_key_id_is_the_rfc_7638_thumbprint(tmp_path: Path) -> None:
    path = create_key_file(tmp_path / "signing.pem")
    assert load_key_ring(path).jwks() == load_key_ring(path).jwks()
    assert len(load_key_ring(path).jwks()["keys"][0]["kid"]) == 43


def _pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "must be an unencrypted PEM"),
        (b"not a key", "must be an unencrypted PEM"),
        (_pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), "must be an unencrypted PEM"),
        (_pem(ec.generate_private_key(ec.SECP384R1())), "must be a P-256 key"),
        (_pem(rsa.generate_private_key(65537, 2048)), "must be a P-256 key"),
    ],
    ids=["empty", "text", "encrypted", "another curve", "rsa"],
)
def test_invalid_key_file_is_rejected_with_the_reason(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "signing.pem"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=expected):
        load_key_ring(path)


def test_error_for_a_missing_or_readable_key_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="keygen"):
        load_key_ring(tmp_path)
    path = create_key_file(tmp_path / "signing.pem")
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_key_ring(path)
