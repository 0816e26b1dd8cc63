"""The bodies that several routes answer with."""

from datetime import UTC, datetime

from bookwheel_contracts import Scope
from bookwheel_contracts.model import Contract, Timestamp

from bookwheel_accounts.dependencies import Dependencies
from bookwheel_accounts.identity import Identity, format_scopes
from bookwheel_accounts.users import User


def moment(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


class TokenPair(Contract):
    """As OAuth 2 answers. `expires_in` is seconds; the refresh token is good for one use."""

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


def token_pair(services: Dependencies, identity: Identity, refresh_token: str | None) -> TokenPair:
    return TokenPair(
        access_token=services.tokens.access_token(identity),
        expires_in=int(services.tokens.access_lifetime.total_seconds()),
        refresh_token=refresh_token,
        scope=format_scopes(identity.scopes),
    )


def account_of(user: User) -> Account:
    return Account(id=user.user_id, email=user.email, scopes=sorted(user.scopes), created_at=moment(user.created_at))
