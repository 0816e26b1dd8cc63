"""What the routes work with, made once by `app.py` and found on the app's state."""

from dataclasses import dataclass
from typing import Annotated

import jwt
from bookwheel_contracts.problems import ForbiddenError, UnauthenticatedError
from fastapi import Depends, Request
from fastapi.security import HTTPBearer

from bookwheel_accounts.api_keys import ApiKeyStore
from bookwheel_accounts.credentials import CredentialCheck
from bookwheel_accounts.identity import Identity
from bookwheel_accounts.keys import KeyRing
from bookwheel_accounts.sessions import SessionStore
from bookwheel_accounts.sign_in import SignIn
from bookwheel_accounts.suite import Suite
from bookwheel_accounts.tokens import TokenIssuer
from bookwheel_accounts.users import UserStore


@dataclass(frozen=True, slots=True)
class Dependencies:
    ring: KeyRing
    tokens: TokenIssuer
    users: UserStore
    sessions: SessionStore
    api_keys: ApiKeyStore
    sign_in: SignIn
    credentials: CredentialCheck
    suite: Suite
    verify_cache_seconds: int


def services_of(request: Request) -> Dependencies:
    services: Dependencies = request.app.state.services
    return services


ServicesHere = Annotated[Dependencies, Depends(services_of)]

_bearer = HTTPBearer(auto_error=False, scheme_name="bearer", description="An access token or API key.")


async def caller(
    request: Request, services: ServicesHere, _documented: Annotated[object, Depends(_bearer)]
) -> Identity:
    """Whom the gateway's internal token stands for. Raises Unauthenticated."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("The request carries no token.")
    try:
        identity, _ = services.tokens.read_internal_token(token)
    except (jwt.InvalidTokenError, ValueError) as error:
        raise UnauthenticatedError("The token is not valid.") from error
    return identity


Caller = Annotated[Identity, Depends(caller)]


async def logged_in(identity: Caller) -> Identity:
    """A caller who logged in. An API key may not make further keys: its theft would outlive its revocation."""
    if identity.session_id is None:
        raise ForbiddenError("This needs a login; an API key, or a token made from one, is not enough.")
    return identity


LoggedIn = Annotated[Identity, Depends(logged_in)]
