"""The dependencies of the endpoints: the wired services and the authenticated caller."""

from dataclasses import dataclass
from typing import Annotated

import jwt
from bookwheel_contracts.problems import ForbiddenError, UnauthenticatedError
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from bookwheel_accounts.api_keys import ApiKeyStore
from bookwheel_accounts.authentication import Authenticator
from bookwheel_accounts.credentials import CredentialVerifier
from bookwheel_accounts.identity import Identity
from bookwheel_accounts.sessions import SessionStore
from bookwheel_accounts.signing_keys import KeyRing
from bookwheel_accounts.suite_overview import SuiteOverview
from bookwheel_accounts.tokens import TokenIssuer
from bookwheel_accounts.users import UserStore


@dataclass(frozen=True, slots=True)
class Dependencies:
    key_ring: KeyRing
    tokens: TokenIssuer
    users: UserStore
    sessions: SessionStore
    api_keys: ApiKeyStore
    authenticator: Authenticator
    credentials: CredentialVerifier
    suite_overview: SuiteOverview
    verify_cache_seconds: int


def get_dependencies(request: Request) -> Dependencies:
    dependencies: Dependencies = request.app.state.dependencies
    return dependencies


Injected = Annotated[Dependencies, Depends(get_dependencies)]

_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An access token or API key.")


async def get_caller(
    request: Request, dependencies: Injected, _openapi_only: Annotated[object, Depends(_bearer)]
) -> Identity:
    """Returns the identity of the gateway's internal token. Raises UnauthenticatedError."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("The access token is missing: log in and send it in the `Authorization` header.")
    try:
        identity, _ = dependencies.tokens.verify_internal_token(token)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise UnauthenticatedError("The token is invalid: log in again.") from error
    return identity


Caller = Annotated[Identity, Depends(get_caller)]


async def get_session_caller(identity: Caller) -> Identity:
    """Returns the identity of a caller with a session. Raises ForbiddenError for an API key.

    An API key must not create keys: the thief of a key could keep access after its revocation.
    """
    if identity.session_id is None:
        raise ForbiddenError(
            "This request requires a session: log in, and send the access token instead of an API key."
        )
    return identity


SessionCaller = Annotated[Identity, Depends(get_session_caller)]
