"""Checks the internal token that the gateway sends in place of the caller's credential."""

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
_REFRESH_SECONDS = 5.0  # a flood of tokens with unknown key ids makes one key request in this time
_RETRY_SECONDS = 1  # after a failure; those who waited for that request share its failure
_KEYS_KEPT_SECONDS = 60.0
_VERIFIED_KEPT = 4096


@functools.cache
def _trusted() -> ssl.SSLContext:
    """Reading the machine's certificates takes 40 ms, in which no request would be answered: done once."""
    return httpx.create_ssl_context()


class TokenVerifier:
    """Verifies ES256 tokens against a JWKS, which is fetched when a key id is not known yet, and once a minute: so long
    a revoked key may still be accepted. While the JWKS is away, the keys that are known are.

    Verified tokens are remembered until they expire: the gateway sends the same internal token for seconds, and an
    ES256 check costs some 100 µs.
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
        """Raises Unauthenticated for a token that is not good, Unavailable where the keys can't be had."""
        if self._keys and time.monotonic() - self._fetched_at > _KEYS_KEPT_SECONDS:
            await self._look_again()
        claims = self._verified.get(token)
        if claims is None or claims.expires_at <= time.time():
            claims = await self._decode(token)
            self._verified[token] = claims
            if len(self._verified) > _VERIFIED_KEPT:
                self._verified.popitem(last=False)
        return claims

    async def check(self) -> None:
        """For readiness. Raises Unavailable until the keys could be fetched once: without them no request that needs a
        token is answered."""
        if not self._keys:
            async with self._lock:
                if not self._keys:
                    await self._fetch()

    async def _decode(self, token: str) -> Claims:
        try:
            key = await self._key(str(jwt.get_unverified_header(token).get("kid")))
            found = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                audience=self._audience,
                issuer=self._issuer,
                options={"require": ["exp", "iat", "iss", "aud", "sub"]},
            )
            scopes = frozenset(Scope(name) for name in str(found.get("scope", "")).split())
        except (jwt.InvalidTokenError, ValueError) as error:
            raise UnauthenticatedError("The token is not valid.") from error
        return Claims(sub=found["sub"], scopes=scopes, expires_at=int(found["exp"]))

    async def _key(self, key_id: str) -> jwt.PyJWK:
        if key_id not in self._keys:
            async with self._lock:
                if key_id not in self._keys and time.monotonic() - self._fetched_at > _REFRESH_SECONDS:
                    await self._fetch()
        if key_id not in self._keys:
            raise UnauthenticatedError("The token is signed with an unknown key.")
        return self._keys[key_id]

    async def _look_again(self) -> None:
        async with self._lock:
            if time.monotonic() - self._fetched_at > _KEYS_KEPT_SECONDS:
                try:
                    await self._fetch()
                except UnavailableError:  # asked again in a moment, not for every request
                    self._fetched_at = time.monotonic() - _KEYS_KEPT_SECONDS + _REFRESH_SECONDS

    async def _fetch(self) -> None:
        away = UnavailableError("The token keys can't be fetched right now.", retry_after=_RETRY_SECONDS)
        if time.monotonic() - self._failed_at < _RETRY_SECONDS:
            raise away
        try:
            async with httpx.AsyncClient(timeout=5, verify=_trusted()) as client:
                answer = await client.get(self._jwks_url)
                answer.raise_for_status()
            found = jwt.PyJWKSet.from_dict(answer.json())
        except (httpx.HTTPError, ValueError, jwt.PyJWTError) as error:
            self._failed_at = time.monotonic()
            raise away from error
        keys = {key.key_id: key for key in found.keys if key.key_id}
        if self._keys.keys() - keys.keys():
            self._verified.clear()
        self._keys = keys
        self._fetched_at = time.monotonic()


_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An access token or API key.")


def require_scope(scope: Scope) -> Callable[[Request], Awaitable[Claims]]:
    """Returns a FastAPI dependency for the caller's verified claims. It raises UnauthenticatedError or ForbiddenError.

    It uses `app.state.token_verifier`, which `create_service_app` sets.
    """

    async def verified(request: Request, _documented: Annotated[object, Depends(_bearer)] = None) -> Claims:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthenticatedError("The request carries no token.")
        verifier: TokenVerifier = request.app.state.token_verifier
        claims = await verifier.verify(token)
        if not claims.allows(scope):
            raise ForbiddenError(f"This needs the scope {scope}.")
        return claims

    return verified
