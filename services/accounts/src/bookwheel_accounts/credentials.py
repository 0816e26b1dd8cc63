"""Verifies a request's credential: an access token or an API key."""

import time
from dataclasses import dataclass, replace
from enum import StrEnum

import jwt

from bookwheel_accounts.api_keys import ApiKeyStore
from bookwheel_accounts.identity import API_KEY_PREFIX, Identity, restrict_scopes
from bookwheel_accounts.sessions import SessionStore
from bookwheel_accounts.tokens import TokenIssuer


class RejectionReason(StrEnum):
    """Why a credential was rejected. The gateway describes it in the `detail` of its response."""

    MISSING = "missing"
    AMBIGUOUS = "ambiguous"
    EXPIRED = "expired"
    INVALID = "invalid"
    REVOKED = "revoked"


class InvalidCredentialError(Exception):
    """The credential of the request is missing, ambiguous, invalid, expired or revoked."""

    def __init__(self, reason: RejectionReason) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class CredentialVerifier:
    """Verifies access tokens and API keys. It rejects a token whose session or API key was revoked."""

    tokens: TokenIssuer
    sessions: SessionStore
    api_keys: ApiKeyStore

    def verify(self, authorization: str, key_header: str) -> tuple[Identity, float]:
        """Returns the identity of an `Authorization` or `X-API-Key` header and its remaining lifetime in seconds.

        Raises InvalidCredentialError.
        """
        if authorization and key_header:
            raise InvalidCredentialError(RejectionReason.AMBIGUOUS)
        scheme, _, credential = authorization.partition(" ")
        if authorization and (scheme.lower() != "bearer" or not credential.strip()):
            raise InvalidCredentialError(RejectionReason.INVALID)
        credential = credential.strip() or key_header
        if not credential:
            raise InvalidCredentialError(RejectionReason.MISSING)
        if key_header or credential.startswith(API_KEY_PREFIX):
            return self._verify_key(credential)
        return self._verify_token(credential)

    def _verify_key(self, secret: str) -> tuple[Identity, float]:
        match = self.api_keys.find_identity_by_secret(secret)
        if match is None:
            raise InvalidCredentialError(RejectionReason.INVALID)
        identity, expires_at = match
        return identity, float("inf") if expires_at is None else expires_at - time.time()

    def _verify_token(self, token: str) -> tuple[Identity, float]:
        try:
            token_identity, token_expires_at = self.tokens.verify_access_token(token)
        except jwt.ExpiredSignatureError as error:
            raise InvalidCredentialError(RejectionReason.EXPIRED) from error
        except (jwt.InvalidTokenError, ValueError) as error:
            raise InvalidCredentialError(RejectionReason.INVALID) from error
        issuing_credential = self._find_issuing_credential(token_identity)
        if issuing_credential is None:
            raise InvalidCredentialError(RejectionReason.REVOKED)
        credential_identity, credential_expires_at = issuing_credential
        if credential_identity.user_id != token_identity.user_id:
            raise InvalidCredentialError(RejectionReason.REVOKED)
        identity = replace(token_identity, scopes=restrict_scopes(token_identity.scopes, credential_identity.scopes))
        expires_at = token_expires_at
        if credential_expires_at is not None:
            expires_at = min(expires_at, credential_expires_at)
        return identity, expires_at - time.time()

    def _find_issuing_credential(self, token_identity: Identity) -> tuple[Identity, int | None] | None:
        """Returns the identity and expiry of the session or API key that issued the token, or None if it ended."""
        if token_identity.session_id is not None:
            return self.sessions.find_identity(token_identity.session_id)
        if token_identity.key_id is not None:
            return self.api_keys.find_identity(token_identity.key_id)
        return None
