"""Signing keys: where they live, how they rotate, what is refused."""

from pathlib import Path

import jwt
import pytest
from bookwheel_accounts.signing_keys import KeyFileError, create_key_file, load_key_ring
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, NoEncryption, PrivateFormat

CLAIMS = {"iss": "bookwheel", "aud": "bookwheel", "sub": "usr_1", "iat": 1, "exp": 4_000_000_000}


def test_a_key_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = create_key_file(tmp_path / "secrets" / "signing.pem")
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    with pytest.raises(FileExistsError):
        create_key_file(path)


def test_the_newest_key_of_a_folder_signs_and_the_older_stay_good(tmp_path: Path) -> None:
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


def test_the_key_id_is_the_thumbprint_of_rfc_7638(tmp_path: Path) -> None:
    path = create_key_file(tmp_path / "signing.pem")
    assert load_key_ring(path).jwks() == load_key_ring(path).jwks()
    assert len(load_key_ring(path).jwks()["keys"][0]["kid"]) == 43


def _pem(private: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "must be an unencrypted PEM"),
        (b"not a key", "must be an unencrypted PEM"),
        (_pem(ec.generate_private_key(ec.SECP256R1()), b"secret"), "must be an unencrypted PEM"),
        (_pem(ec.generate_private_key(ec.SECP384R1())), "must be a P-256 key"),
        (_pem(rsa.generate_private_key(65537, 2048)), "must be a P-256 key"),
    ],
    ids=["empty", "text", "encrypted", "another curve", "rsa"],
)
def test_what_is_no_es256_key_is_refused_with_the_reason(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "signing.pem"
    path.touch(mode=0o600)
    path.write_bytes(content)
    with pytest.raises(KeyFileError, match=says):
        load_key_ring(path)


def test_a_missing_or_open_key_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="keygen"):
        load_key_ring(tmp_path)
    path = create_key_file(tmp_path / "signing.pem")
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_key_ring(path)
