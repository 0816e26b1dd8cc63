"""Verifies the internal token that the gateway sends in place of the caller's credential."""

import asyncio
import functools
import ssl
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Annotated

import httpx
import jwt
from bookwheel_contracts import Claims, Scope
from bookwheel_contracts.accounts import INTERNAL_AUDIENCE
from bookwheel_contracts.problems import ForbiddenError, UnauthenticatedError, UnavailableError
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

ALGORITHM = "ES256"
_MIN_FETCH_SECONDS = 5.0
"""Minimum time between two JWKS requests."""
_RETRY_SECONDS = 1
"""Time after a failed JWKS request in which no other request is sent."""
_MAX_KEY_AGE_SECONDS = 60.0
_MAX_VERIFIED_TOKENS = 4096


@functools.cache
def _ssl_context() -> ssl.SSLContext:
    """Cached, because loading the certificates of the machine blocks the event loop for 40 ms."""
    return httpx.create_ssl_context()


class TokenVerifier:
    """Verifies ES256 tokens against a JWKS.

    The JWKS is fetched for an unknown key id and once a minute, so a revoked key is accepted for up to a minute. While
    the JWKS is unavailable, the cached keys stay in use. Verified tokens are cached until they expire, because the
    gateway sends the same internal token for several seconds and a verification takes about 100 µs.
    """

    def __init__(self, *, jwks_url: str, issuer: str, audience: str = INTERNAL_AUDIENCE) -> None:
        self._jwks_url = jwks_url
        self._issuer = issuer
        self._audience = audience
        self._keys: dict[str, jwt.PyJWK] = {}
        self._fetched_at = float("-inf")
        self._failed_at = float("-inf")
        self._lock = asyncio.Lock()
        self._verified: OrderedDict[str, Claims] = OrderedDict()

    async def verify(self, token: str) -> Claims:
        """Returns the claims. Raises UnauthenticatedError for an invalid token, UnavailableError without keys."""
        if self._keys and time.monotonic() - self._fetched_at > _MAX_KEY_AGE_SECONDS:
            await self._refresh_keys()
        claims = self._verified.get(token)
        if claims is None or claims.expires_at <= time.time():
            claims = await self._decode(token)
            self._verified[token] = claims
            if len(self._verified) > _MAX_VERIFIED_TOKENS:
                self._verified.popitem(last=False)
        return claims

    async def check(self) -> None:
        """Readiness check. Raises UnavailableError until the keys have been fetched."""
        if not self._keys:
            async with self._lock:
                if not self._keys:
                    await self._fetch()

    async def _decode(self, token: str) -> Claims:
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid")))
            payload = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
            scopes = frozenset(Scope(name) for name in str(payload.get("scope", "")).split())
        except (jwt.InvalidTokenError, ValueError) as error:
            raise UnauthenticatedError("The token is invalid: get a new one.") from error
        return Claims(sub=payload["sub"], scopes=scopes, expires_at=int(payload["exp"]))

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            async with self._lock:
                if key_id not in self._keys and time.monotonic() - self._fetched_at > _MIN_FETCH_SECONDS:
                    await self._fetch()
        if key_id not in self._keys:
            raise UnauthenticatedError("The token is invalid: its key is unknown.")
        return self._keys[key_id]

    async def _refresh_keys(self) -> None:
        async with self._lock:
            if time.monotonic() - self._fetched_at > _MAX_KEY_AGE_SECONDS:
                try:
                    await self._fetch()
                except UnavailableError:  # the next attempt is after _MIN_FETCH_SECONDS, not at the next request
                    self._fetched_at = time.monotonic() - _MAX_KEY_AGE_SECONDS + _MIN_FETCH_SECONDS

    async def _fetch(self) -> None:
        unavailable = UnavailableError("The token keys are unavailable: retry later.", retry_after=_RETRY_SECONDS)
        if time.monotonic() - self._failed_at < _RETRY_SECONDS:
            raise unavailable
        try:
            async with httpx.AsyncClient(timeout=5, verify=_ssl_context()) as client:
                response = await client.get(self._jwks_url)
                response.raise_for_status()
            key_set = jwt.PyJWKSet.from_dict(response.json())
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            self._failed_at = time.monotonic()
            raise unavailable from error
        keys = {key.key_id: key for key in key_set.keys if key.key_id}
        if self._keys.keys() - keys.keys():
            self._verified.clear()
        self._keys = keys
        self._fetched_at = time.monotonic()


_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An access token or API key.")


def require_scope(scope: Scope) -> Callable[[Request], Awaitable[Claims]]:
    """Returns a FastAPI dependency that returns the verified claims of the caller.

    The dependency raises UnauthenticatedError or ForbiddenError. It uses `app.state.token_verifier`. `_openapi` only
    adds the security scheme to the OpenAPI document.
    """

    async def verify_request(request: Request, _openapi: Annotated[object, Depends(_bearer)] = None) -> Claims:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("The token is missing: send one as `Authorization: Bearer`.")
        verifier: TokenVerifier = request.app.state.token_verifier
        claims = await verifier.verify(token)
        if not claims.allows(scope):
            raise ForbiddenError(f"The token is not allowed to do this: use a token with the scope {scope}.")
        return claims

    return verify_request
