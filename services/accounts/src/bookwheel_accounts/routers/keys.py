"""API keys of the logged-in user."""

from datetime import UTC, datetime

from bookwheel_contracts import Scope
from bookwheel_contracts.model import Contract, Timestamp
from bookwheel_contracts.problems import ForbiddenError, InvalidParameterError, NotFoundError
from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field

from bookwheel_accounts.api_keys import ApiKey
from bookwheel_accounts.dependencies import LoggedIn, ServicesHere
from bookwheel_accounts.identity import covers
from bookwheel_accounts.routers.answers import moment

router = APIRouter(prefix="/api/v1/auth/keys", tags=["accounts"])


class NewKey(Contract):
    """Without `scopes`, the key gets those of the login; without `expires_at`, it lives until it is revoked."""

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
    """`key` is shown this once."""

    key: str


class KeyList(Contract):
    items: list[KeyInfo]


def _facts(key: ApiKey) -> dict[str, object]:
    return {
        "id": key.key_id,
        "name": key.name,
        "scopes": sorted(key.scopes),
        "created_at": moment(key.created_at),
        "expires_at": None if key.expires_at is None else moment(key.expires_at),
    }


@router.post("", status_code=201)
def create_key(body: NewKey, identity: LoggedIn, services: ServicesHere, response: Response) -> CreatedKey:
    scopes = body.scopes or identity.scopes
    if not covers(identity.scopes, scopes):
        raise ForbiddenError("A key can't have more scopes than the login that makes it.")
    if body.expires_at is not None and body.expires_at <= datetime.now(UTC):
        raise InvalidParameterError("expires_at: must be in the future")
    expires_at = None if body.expires_at is None else int(body.expires_at.timestamp())
    key, secret = services.api_keys.add(identity.user_id, body.name, scopes, expires_at)
    response.headers["Cache-Control"] = "no-store"
    return CreatedKey.model_validate({**_facts(key), "key": secret})


@router.get("")
def list_keys(identity: LoggedIn, services: ServicesHere) -> KeyList:
    return KeyList(items=[KeyInfo.model_validate(_facts(key)) for key in services.api_keys.list(identity.user_id)])


@router.delete("/{key_id}", status_code=204)
def revoke_key(key_id: str, identity: LoggedIn, services: ServicesHere) -> None:
    """The key, and tokens made from it, are refused within seconds."""
    if not services.api_keys.revoke(identity.user_id, key_id):
        raise NotFoundError("There is no such API key.")
