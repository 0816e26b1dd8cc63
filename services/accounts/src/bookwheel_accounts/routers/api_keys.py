"""API keys of the logged-in user."""

from datetime import UTC, datetime

from bookwheel_contracts import Scope
from bookwheel_contracts.model import Contract, Timestamp
from bookwheel_contracts.problems import ForbiddenError, InvalidParameterError, NotFoundError
from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field

from bookwheel_accounts.api_keys import ApiKey
from bookwheel_accounts.dependencies import InjectedDependencies, LoggedInCaller
from bookwheel_accounts.identity import covers

router = APIRouter(prefix="/api/v1/auth/keys", tags=["accounts"])


class NewKey(Contract):
    """Without `scopes`, the key gets those of the login; without `expires_at`, it is valid until it is revoked."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    scopes: frozenset[Scope] | None = Field(default=None, min_length=1)
    expires_at: AwareDatetime | None = None


class KeyInfo(Contract):
    id: str
    name: str
    scopes: list[Scope]
    created_at: Timestamp
    expires_at: Timestamp | None


class CreatedKey(KeyInfo):
    """`key` is the secret. Only this response contains it."""

    key: str


class KeyList(Contract):
    items: list[KeyInfo]


@router.post("", status_code=201)
def create_key(
    body: NewKey, identity: LoggedInCaller, dependencies: InjectedDependencies, response: Response
) -> CreatedKey:
    scopes = body.scopes or identity.scopes
    if not covers(identity.scopes, scopes):
        raise ForbiddenError("`scopes` is invalid: a key must not have more scopes than the login that creates it.")
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise InvalidParameterError("`expires_at` is invalid: it must be in the future.")
    expires_at = None if body.expires_at is None else int(body.expires_at.timestamp())
    key, secret = dependencies.api_keys.create(identity, body.name, scopes, expires_at)
    response.headers["Cache-Control"] = "no-store"
    return CreatedKey.model_validate({**_key_info(key).model_dump(), "key": secret})


@router.get("")
def list_keys(identity: LoggedInCaller, dependencies: InjectedDependencies) -> KeyList:
    return KeyList(items=[_key_info(key) for key in dependencies.api_keys.list(identity.user_id)])


@router.delete("/{key_id}", status_code=204)
def revoke_key(key_id: str, identity: LoggedInCaller, dependencies: InjectedDependencies) -> None:
    """The key and the tokens that were issued for it are refused within seconds."""
    if not dependencies.api_keys.revoke(identity.user_id, key_id):
        raise NotFoundError("There is no such API key.")


def _key_info(key: ApiKey) -> KeyInfo:
    return KeyInfo(
        id=key.key_id,
        name=key.name,
        scopes=sorted(key.scopes),
        created_at=datetime.fromtimestamp(key.created_at, UTC),
        expires_at=None if key.expires_at is None else datetime.fromtimestamp(key.expires_at, UTC),
    )
