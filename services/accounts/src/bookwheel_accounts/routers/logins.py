"""Register, log in, refresh, log out."""

from typing import Annotated

from bookwheel_contracts import Scope
from bookwheel_contracts.model import Contract
from bookwheel_contracts.problems import NotFoundError
from fastapi import APIRouter, Response
from pydantic import Field

from bookwheel_accounts.dependencies import Caller, LoggedIn, ServicesHere
from bookwheel_accounts.passwords import MAX_LENGTH
from bookwheel_accounts.routers.answers import Account, TokenPair, account_of, token_pair

router = APIRouter(prefix="/api/v1/auth", tags=["accounts"])

Email = Annotated[str, Field(max_length=254, examples=["reader@example.com"])]
Password = Annotated[str, Field(max_length=MAX_LENGTH, examples=["a wheel of open books"])]


class Registration(Contract):
    email: Email
    password: Password


class Login(Contract):
    """Without `scopes`, the token gets all that the account has."""

    email: Email
    password: Password
    scopes: frozenset[Scope] | None = Field(default=None, min_length=1)


class Refresh(Contract):
    refresh_token: str = Field(max_length=200)


@router.post("/register", status_code=201)
async def register(body: Registration, services: ServicesHere) -> Account:
    """A new account, which may read the catalog and ask for predictions."""
    return account_of(await services.sign_in.register(body.email, body.password))


@router.post("/login")
async def login(body: Login, services: ServicesHere, response: Response) -> TokenPair:
    identity, refresh_token = await services.sign_in.login(body.email, body.password, body.scopes)
    response.headers["Cache-Control"] = "no-store"
    return token_pair(services, identity, refresh_token)


@router.post("/refresh")
async def refresh(body: Refresh, services: ServicesHere, response: Response) -> TokenPair:
    """A new pair. The old refresh token is spent: if it comes again, the whole login ends."""
    identity, refresh_token = await services.sign_in.refresh(body.refresh_token)
    response.headers["Cache-Control"] = "no-store"
    return token_pair(services, identity, refresh_token)


@router.post("/logout", status_code=204)
def logout(identity: LoggedIn, services: ServicesHere) -> None:
    """Ends this login: its refresh token at once, its access tokens within seconds."""
    services.sessions.close(str(identity.session_id))


@router.get("/me")
def me(identity: Caller, services: ServicesHere) -> Account:
    user = services.users.get(identity.user_id)
    if user is None:
        raise NotFoundError("The account does not exist any more.")
    return account_of(user)
