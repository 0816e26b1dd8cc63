"""Register, log in, refresh, log out."""

from datetime import UTC, datetime
from typing import Annotated

from bookwheel_contracts import Scope
from bookwheel_contracts.model import Contract, Timestamp
from bookwheel_contracts.problems import NotFoundError
from fastapi import APIRouter, Response
from pydantic import Field

from bookwheel_accounts.dependencies import Caller, Dependencies, InjectedDependencies, LoggedInCaller
from bookwheel_accounts.identity import Identity, format_scopes
from bookwheel_accounts.passwords import MAX_LENGTH
from bookwheel_accounts.users import User

router = APIRouter(prefix="/api/v1/auth", tags=["accounts"])

Email = Annotated[str, Field(max_length=254, examples=["reader@example.com"])]
Password = Annotated[str, Field(max_length=MAX_LENGTH, examples=["a wheel of open books"])]


class Registration(Contract):
    email: Email
    password: Password


class Login(Contract):
    """Without `scopes`, the token gets all scopes of the account."""

    email: Email
    password: Password
    scopes: frozenset[Scope] | None = Field(default=None, min_length=1)


class Refresh(Contract):
    refresh_token: str = Field(max_length=200)


class TokenPair(Contract):
    """The response of OAuth 2. `expires_in` is in seconds; the refresh token can be used once."""

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
async def register(body: Registration, dependencies: InjectedDependencies) -> Account:
    """Creates an account that may read the catalog and request predictions."""
    return _account(await dependencies.authenticator.register(body.email, body.password))


@router.post("/login")
async def login(body: Login, dependencies: InjectedDependencies, response: Response) -> TokenPair:
    identity, refresh_token = await dependencies.authenticator.login(body.email, body.password, body.scopes)
    response.headers["Cache-Control"] = "no-store"
    return issue_token_pair(dependencies, identity, refresh_token)


@router.post("/refresh")
async def refresh(body: Refresh, dependencies: InjectedDependencies, response: Response) -> TokenPair:
    """Returns a new pair. If a refresh token is used twice, its login ends."""
    identity, refresh_token = await dependencies.authenticator.refresh(body.refresh_token)
    response.headers["Cache-Control"] = "no-store"
    return issue_token_pair(dependencies, identity, refresh_token)


@router.post("/logout", status_code=204)
def logout(identity: LoggedInCaller, dependencies: InjectedDependencies) -> None:
    """Ends this login: its refresh token at once, its access tokens within seconds."""
    dependencies.sessions.revoke(str(identity.session_id))


@router.get("/me")
def me(identity: Caller, dependencies: InjectedDependencies) -> Account:
    user = dependencies.users.get(identity.user_id)
    if user is None:
        raise NotFoundError("The account does not exist any more.")
    return _account(user)


def issue_token_pair(dependencies: Dependencies, identity: Identity, refresh_token: str | None) -> TokenPair:
    return TokenPair(
        access_token=dependencies.tokens.access_token(identity),
        expires_in=int(dependencies.tokens.access_lifetime.total_seconds()),
        refresh_token=refresh_token,
        scope=format_scopes(identity.scopes),
    )


def _account(user: User) -> Account:
    created_at = datetime.fromtimestamp(user.created_at, UTC)
    return Account(id=user.user_id, email=user.email, scopes=sorted(user.scopes), created_at=created_at)
