"""Routes to create, list and revoke the API keys of the caller."""

from datetime import UTC, datetime

from bookwheel_contracts import Scope
from bookwheel_contracts.model import Contract, Timestamp
from bookwheel_contracts.problems import ForbiddenError, InvalidParameterError, NotFoundError
from fastapi import APIRouter, Response
from pydantic import AwareDatetime, Field

from bookwheel_accounts.api_keys import ApiKey
from bookwheel_accounts.dependencies import Injected, SessionCaller
from bookwheel_accounts.identity import covers

router = APIRouter(prefix="/api/v1/auth/keys", tags=["accounts"])


class CreateApiKeyRequest(Contract):
    """`scopes` defaults to the scopes of the session. Without `expires_at`, the key is valid until it is revoked."""

    name: str = Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+$")
    scopes: frozenset[Scope] | None = Field(default=None, min_length=1)
    expires_at: AwareDatetime | None = None


class ApiKeyInfo(Contract):
    id: str
    name: str
    scopes: list[Scope]
    created_at: Timestamp
    expires_at: Timestamp | None


class CreatedApiKey(ApiKeyInfo):
    """The new API key. `key` is the secret. Only this response contains it."""

    key: str


class ApiKeyList(Contract):
    items: list[ApiKeyInfo]


@router.post("", status_code=201)
def create_key(
    request: CreateApiKeyRequest, identity: SessionCaller, dependencies: Injected, response: Response
) -> CreatedApiKey:
    """Creates an API key."""
    scopes = request.scopes or identity.scopes
    if not covers(identity.scopes, scopes):
        raise ForbiddenError("`scopes` is invalid: a key must not have more scopes than the session that creates it.")
    if request.expires_at is not None and request.expires_at <= datetime.now(UTC):
        raise InvalidParameterError("`expires_at` is invalid: it must be in the future.")
    expires_at = None if request.expires_at is None else int(request.expires_at.timestamp())
    key, secret = dependencies.api_keys.create(identity, request.name, scopes, expires_at)
    response.headers["Cache-Control"] = "no-store"
    return CreatedApiKey.model_validate({**_describe_key(key).model_dump(), "key": secret})


@router.get("")
def list_keys(identity: SessionCaller, dependencies: Injected) -> ApiKeyList:
    """Lists the API keys that are not revoked, oldest first."""
    return ApiKeyList(items=[_describe_key(key) for key in dependencies.api_keys.list(identity.user_id)])


@router.delete("/{key_id}", status_code=204)
def revoke_key(key_id: str, identity: SessionCaller, dependencies: Injected) -> None:
    """Revokes an API key. The key and its tokens are rejected within seconds."""
    if not dependencies.api_keys.revoke(identity.user_id, key_id):
        raise NotFoundError("The API key does not exist.")


def _describe_key(key: ApiKey) -> ApiKeyInfo:
    return ApiKeyInfo(
        id=key.key_id,
        name=key.name,
        scopes=sorted(key.scopes),
        created_at=datetime.fromtimestamp(key.created_at, UTC),
        expires_at=None if key.expires_at is None else datetime.fromtimestamp(key.expires_at, UTC),
    )
