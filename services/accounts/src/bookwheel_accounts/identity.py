"""Identities, scopes and secrets. Secrets are random, and the database stores only their hashes."""

import hashlib
import secrets
from dataclasses import dataclass

from bookwheel_contracts import Scope

API_KEY_PREFIX = "bw_"
REFRESH_TOKEN_PREFIX = "bwr_"  # noqa: S105 - a prefix, not a secret
_SECRET_BYTES = 32


@dataclass(frozen=True, slots=True)
class Identity:
    """A user, authenticated by a session (`session_id`) or an API key (`key_id`), with that credential's scopes."""

    user_id: str
    scopes: frozenset[Scope]
    session_id: str | None = None
    key_id: str | None = None


def parse_scopes(text: str) -> frozenset[Scope]:
    """Parses a list separated by spaces or commas. Raises ValueError for an unknown scope."""
    return frozenset(Scope(name) for name in text.replace(",", " ").split())


def format_scopes(scopes: frozenset[Scope]) -> str:
    return " ".join(sorted(scopes))


def covers(granted: frozenset[Scope], requested: frozenset[Scope]) -> bool:
    """Returns True if `granted` includes `requested`. The scope `admin` includes all scopes."""
    return Scope.ADMIN in granted or requested <= granted


def restrict_scopes(scopes: frozenset[Scope], user_scopes: frozenset[Scope]) -> frozenset[Scope]:
    """Returns the scopes of a credential that are still granted to its user."""
    return scopes if Scope.ADMIN in user_scopes else scopes & user_scopes


def new_identifier(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def new_secret(prefix: str) -> str:
    return prefix + secrets.token_urlsafe(_SECRET_BYTES)


def hash_secret(secret: str) -> str:
    """Returns the SHA-256 hex digest. A fast hash is enough, because 256 random bits cannot be guessed.

    JSON strings may contain lone surrogates; `surrogatepass` accepts them.
    """
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
