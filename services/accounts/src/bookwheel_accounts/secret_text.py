"""Secrets that callers hold: random, recognisable by their prefix, and kept only as a hash."""

import hashlib
import secrets

API_KEY_PREFIX = "bw_"
REFRESH_TOKEN_PREFIX = "bwr_"  # noqa: S105 - a prefix, not a secret
_SECRET_BYTES = 32


def new_identifier(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def new_secret(prefix: str) -> str:
    return prefix + secrets.token_urlsafe(_SECRET_BYTES)


def hash_secret(secret: str) -> str:
    """SHA-256 in hex. Fast on purpose: 256 random bits can't be guessed, unlike a password."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
