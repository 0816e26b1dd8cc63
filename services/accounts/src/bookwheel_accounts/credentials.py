"""Checks a caller's credential: an access token or an API key."""

import time
from dataclasses import dataclass
from enum import StrEnum

import jwt

from bookwheel_accounts.api_keys import ApiKeyStore
from bookwheel_accounts.identity import Identity, still_held
from bookwheel_accounts.secret_text import API_KEY_PREFIX
from bookwheel_accounts.sessions import SessionStore
from bookwheel_accounts.tokens import TokenIssuer


class Refusal(StrEnum):
    """Why a credential was refused, in words that the gateway turns into its answer."""

    MISSING = "missing"
    AMBIGUOUS = "ambiguous"
    EXPIRED = "expired"
    INVALID = "invalid"
    REVOKED = "revoked"


class InvalidCredentialError(Exception):
    def __init__(self, reason: Refusal) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CredentialCheck:
    """One place for tokens and keys alike. What is revoked in the database is refused, however good its signature."""

    tokens: TokenIssuer
    sessions: SessionStore
    api_keys: ApiKeyStore

    def check(self, authorization: str, key_header: str) -> tuple[Identity, float]:
        """Whom the request's `Authorization` or `X-API-Key` stands for, and for how many seconds more at most.

        Raises CredentialRefused.
        """
        if authorization and key_header:
            raise InvalidCredentialError(Refusal.AMBIGUOUS)
        scheme, _, credential = authorization.partition(" ")
        if authorization and (scheme.lower() != "bearer" or not credential.strip()):
            raise InvalidCredentialError(Refusal.INVALID)
        credential = credential.strip() or key_header
        if not credential:
            raise InvalidCredentialError(Refusal.MISSING)
        if key_header or credential.startswith(API_KEY_PREFIX):
            return self._key(credential)
        return self._token(credential)

    def _key(self, secret: str) -> tuple[Identity, float]:
        found = self.api_keys.by_secret(secret)
        if found is None:
            raise InvalidCredentialError(Refusal.INVALID)
        identity, expires_at = found
        return identity, float("inf") if expires_at is None else expires_at - time.time()

    def _token(self, token: str) -> tuple[Identity, float]:
        try:
            claimed, expires_at = self.tokens.read_access_token(token)
        except jwt.ExpiredSignatureError as error:
            raise InvalidCredentialError(Refusal.EXPIRED) from error
        except (jwt.InvalidTokenError, ValueError) as error:
            raise InvalidCredentialError(Refusal.INVALID) from error
        origin = self._origin(claimed)
        if origin is None or origin[0].user_id != claimed.user_id:
            raise InvalidCredentialError(Refusal.REVOKED)
        living, origin_expires_at = origin
        scopes = still_held(claimed.scopes, living.scopes)
        ends_at = expires_at if origin_expires_at is None else min(expires_at, origin_expires_at)
        return Identity(claimed.user_id, scopes, claimed.session_id, claimed.key_id), ends_at - time.time()

    def _origin(self, claimed: Identity) -> tuple[Identity, int | None] | None:
        """The login or API key that the token was made from, while it lives, and until when it does."""
        if claimed.session_id is not None:
            return self.sessions.find(claimed.session_id)
        if claimed.key_id is not None:
            return self.api_keys.by_id(claimed.key_id)
        return None
