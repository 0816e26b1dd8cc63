"""The OAuth 2 token endpoint (RFC 6749). Its errors have OAuth's format, not that of problems."""

import base64
import binascii
from typing import Annotated, Literal
from urllib.parse import unquote_plus

from bookwheel_contracts import Scope
from bookwheel_contracts.problems import ForbiddenError, UnauthenticatedError
from fastapi import APIRouter, Form, Header
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.concurrency import run_in_threadpool

from bookwheel_accounts.dependencies import Dependencies, InjectedDependencies
from bookwheel_accounts.identity import Identity, covers, parse_scopes
from bookwheel_accounts.routers.logins import TokenPair, issue_token_pair

router = APIRouter(prefix="/api/v1/oauth", tags=["accounts"])

_NO_STORE = {"Cache-Control": "no-store"}
_Text = Annotated[str, Field(max_length=1024)]


class TokenForm(BaseModel):
    """The fields of all grants. Unused fields are ignored, as the RFC requires."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    grant_type: _Text = ""
    username: _Text = ""
    password: _Text = ""
    refresh_token: _Text = ""
    client_id: _Text = ""
    client_secret: _Text = ""
    scope: _Text = ""


class OAuthError(Exception):
    """`code` is an error of RFC 6749, section 5.2."""

    def __init__(self, code: str, status: Literal[400, 401] = 400) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


@router.post("/token", response_model=TokenPair)
async def token(
    form: Annotated[TokenForm, Form()], dependencies: InjectedDependencies, authorization: Annotated[str, Header()] = ""
) -> JSONResponse:
    """Grants: `password`, `refresh_token`, and `client_credentials` with an API key's id and the key as the secret."""
    try:
        identity, refresh_token = await _grant(form, dependencies, authorization)
    except OAuthError as error:
        challenge = {"WWW-Authenticate": 'Basic realm="bookwheel"'} if error.status == 401 else {}
        return JSONResponse({"error": error.code}, error.status, {**_NO_STORE, **challenge})
    pair = issue_token_pair(dependencies, identity, refresh_token)
    return JSONResponse(pair.model_dump(mode="json", exclude_none=True), headers=_NO_STORE)


async def _grant(form: TokenForm, dependencies: Dependencies, authorization: str) -> tuple[Identity, str | None]:
    scopes = _scopes(form.scope)
    try:
        match form.grant_type:
            case "password":
                return await dependencies.authenticator.login(form.username, form.password, scopes)
            case "refresh_token":
                return await dependencies.authenticator.refresh(form.refresh_token)
            case "client_credentials":
                return await _authenticate_client(form, dependencies, authorization, scopes), None
    except UnauthenticatedError as error:
        raise OAuthError("invalid_grant") from error
    except ForbiddenError as error:
        raise OAuthError("invalid_scope") from error
    raise OAuthError("unsupported_grant_type" if form.grant_type else "invalid_request")


def _scopes(text: str) -> frozenset[Scope] | None:
    try:
        return parse_scopes(text) or None
    except ValueError as error:
        raise OAuthError("invalid_scope") from error


async def _authenticate_client(
    form: TokenForm, dependencies: Dependencies, authorization: str, scopes: frozenset[Scope] | None
) -> Identity:
    """Returns the identity of an API key, from the `Authorization: Basic` header or the form."""
    client_id, secret = _basic(authorization) or (form.client_id, form.client_secret)
    key = await run_in_threadpool(dependencies.api_keys.get_by_secret, secret)
    if key is None or key[0].key_id != client_id:
        raise OAuthError("invalid_client", 401)
    identity = key[0]
    if scopes is None:
        return identity
    if not covers(identity.scopes, scopes):
        raise OAuthError("invalid_scope")
    return Identity(identity.user_id, scopes, key_id=identity.key_id)


def _basic(authorization: str) -> tuple[str, str] | None:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", 401) from error
    return unquote_plus(client_id), unquote_plus(secret)
