"""Routes to register, log in, refresh tokens and log out."""

from datetime import UTC, datetime
from typing import Annotated

from bookwheel_contracts import Scope
from bookwheel_contracts.model import Contract, Timestamp
from bookwheel_contracts.problems import NotFoundError
from fastapi import APIRouter, Response
from pydantic import Field

from bookwheel_accounts.dependencies import Caller, Dependencies, Injected, SessionCaller
from bookwheel_accounts.identity import Identity, format_scopes
from bookwheel_accounts.passwords import MAX_PASSWORD_LENGTH
from bookwheel_accounts.users import User

router = APIRouter(prefix="/api/v1/auth", tags=["accounts"])

Email = Annotated[str, Field(max_length=254, examples=["reader@example.com"])]
Password = Annotated[str, Field(max_length=MAX_PASSWORD_LENGTH, examples=["a wheel of open books"])]


class RegisterRequest(Contract):
    email: Email
    password: Password


class LoginRequest(Contract):
    """`scopes` defaults to all scopes of the account."""

    email: Email
    password: Password
    scopes: frozenset[Scope] | None = Field(default=None, min_length=1)


class RefreshRequest(Contract):
    refresh_token: str = Field(max_length=200)


class TokenResponse(Contract):
    """An OAuth 2 token response. `expires_in` is in seconds. The refresh token is valid for one use."""

    access_token: str
    token_type: str = "bearer"  # noqa: S105 - the type's name, not a secret
    expires_in: int
    refresh_token: str | None
    scope: str


class Account(Contract):
    id: str
    email: str
    scopes: list[Scope]
    created_at: Timestamp


@router.post("/register", status_code=201)
async def register(request: RegisterRequest, dependencies: Injected) -> Account:
    """Creates an account with the scopes to read the catalog and to request predictions."""
    return _account_from_user(await dependencies.authenticator.register(request.email, request.password))


@router.post("/login")
async def login(request: LoginRequest, dependencies: Injected, response: Response) -> TokenResponse:
    """Creates a session and returns its tokens."""
    identity, refresh_token = await dependencies.authenticator.login(request.email, request.password, request.scopes)
    response.headers["Cache-Control"] = "no-store"
    return create_token_response(dependencies, identity, refresh_token)


@router.post("/refresh")
async def refresh(request: RefreshRequest, dependencies: Injected, response: Response) -> TokenResponse:
    """Returns a new access token and refresh token. A refresh token that is used twice ends its session."""
    identity, refresh_token = await dependencies.authenticator.refresh(request.refresh_token)
    response.headers["Cache-Control"] = "no-store"
    return create_token_response(dependencies, identity, refresh_token)


@router.post("/logout", status_code=204)
def logout(identity: SessionCaller, dependencies: Injected) -> None:
    """Ends the session. Its refresh token is rejected immediately, its access tokens within seconds."""
    dependencies.sessions.revoke(str(identity.session_id))


@router.get("/me")
def get_account(identity: Caller, dependencies: Injected) -> Account:
    """Returns the account of the caller."""
    user = dependencies.users.get(identity.user_id)
    if user is None:
        raise NotFoundError("The account no longer exists.")
    return _account_from_user(user)


def create_token_response(dependencies: Dependencies, identity: Identity, refresh_token: str | None) -> TokenResponse:
    return TokenResponse(
        access_token=dependencies.tokens.create_access_token(identity),
        expires_in=int(dependencies.tokens.access_lifetime.total_seconds()),
        refresh_token=refresh_token,
        scope=format_scopes(identity.scopes),
    )


def _account_from_user(user: User) -> Account:
    created_at = datetime.fromtimestamp(user.created_at, UTC)
    return Account(id=user.user_id, email=user.email, scopes=sorted(user.scopes), created_at=created_at)
