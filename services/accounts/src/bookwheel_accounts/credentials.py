"""Verifies a request's credential: an access token or an API key."""

import time
from dataclasses import dataclass
from enum import StrEnum

import jwt

from bookwheel_accounts.api_keys import ApiKeyStore
from bookwheel_accounts.identity import API_KEY_PREFIX, Identity, restrict_scopes
from bookwheel_accounts.sessions import SessionStore
from bookwheel_accounts.tokens import TokenIssuer


class Refusal(StrEnum):
    """Why a credential was refused; the gateway's response depends on it."""

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
class CredentialVerifier:
    """A token with a valid signature is refused if its login or API key was revoked."""

    tokens: TokenIssuer
    sessions: SessionStore
    api_keys: ApiKeyStore

    def verify(self, authorization: str, key_header: str) -> tuple[Identity, float]:
        """Returns the identity of an `Authorization` or `X-API-Key` header, and its remaining lifetime in seconds.

        Raises InvalidCredentialError.
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
            return self._verify_key(credential)
        return self._verify_token(credential)

    def _verify_key(self, secret: str) -> tuple[Identity, float]:
        key = self.api_keys.get_by_secret(secret)
        if key is None:
            raise InvalidCredentialError(Refusal.INVALID)
        identity, expires_at = key
        return identity, float("inf") if expires_at is None else expires_at - time.time()

    def _verify_token(self, token: str) -> tuple[Identity, float]:
        try:
            claimed, expires_at = self.tokens.read_access_token(token)
        except jwt.ExpiredSignatureError as error:
            raise InvalidCredentialError(Refusal.EXPIRED) from error
        except (jwt.InvalidTokenError, ValueError) as error:
            raise InvalidCredentialError(Refusal.INVALID) from error
        origin = self._get_origin(claimed)
        if origin is None or origin[0].user_id != claimed.user_id:
            raise InvalidCredentialError(Refusal.REVOKED)
        current, origin_expires_at = origin
        scopes = restrict_scopes(claimed.scopes, current.scopes)
        ends_at = expires_at if origin_expires_at is None else min(expires_at, origin_expires_at)
        return Identity(claimed.user_id, scopes, claimed.session_id, claimed.key_id), ends_at - time.time()

    def _get_origin(self, claimed: Identity) -> tuple[Identity, int | None] | None:
        """Returns the login or API key that the token was issued for, and its expiry; None if it ended."""
        if claimed.session_id is not None:
            return self.sessions.get(claimed.session_id)
        if claimed.key_id is not None:
            return self.api_keys.get(claimed.key_id)
        return None
