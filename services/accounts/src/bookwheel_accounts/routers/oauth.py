"""The OAuth 2 token endpoint (RFC 6749). Its errors have the format of that RFC, not of RFC 9457."""

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

from bookwheel_accounts.dependencies import Dependencies, Injected
from bookwheel_accounts.identity import Identity, covers, parse_scopes
from bookwheel_accounts.routers.authentication import TokenResponse, create_token_response

router = APIRouter(prefix="/api/v1/oauth", tags=["accounts"])

_NO_STORE = {"Cache-Control": "no-store"}
_FormField = Annotated[str, Field(max_length=1024)]


class TokenForm(BaseModel):
    """The fields of all grants. Unused fields are ignored, as the RFC requires."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    grant_type: _FormField = ""
    username: _FormField = ""
    password: _FormField = ""
    refresh_token: _FormField = ""
    client_id: _FormField = ""
    client_secret: _FormField = ""
    scope: _FormField = ""


class OAuthError(Exception):
    """An error response of RFC 6749, section 5.2. `code` is its error code."""

    def __init__(self, code: str, status: Literal[400, 401] = 400) -> None:
        super().__init__(code)
        self.code = code
        self.status = status


@router.post("/token", response_model=TokenResponse)
async def create_tokens(
    form: Annotated[TokenForm, Form()], dependencies: Injected, authorization: Annotated[str, Header()] = ""
) -> JSONResponse:
    """Issues tokens for the grants `password`, `refresh_token` and `client_credentials`.

    With `client_credentials`, the client id is the id of an API key, and the client secret is the key.
    """
    try:
        identity, refresh_token = await _process_grant(form, dependencies, authorization)
    except OAuthError as error:
        challenge_headers = {"WWW-Authenticate": 'Basic realm="bookwheel"'} if error.status == 401 else {}
        return JSONResponse({"error": error.code}, error.status, {**_NO_STORE, **challenge_headers})
    tokens = create_token_response(dependencies, identity, refresh_token)
    return JSONResponse(tokens.model_dump(mode="json", exclude_none=True), headers=_NO_STORE)


async def _process_grant(
    form: TokenForm, dependencies: Dependencies, authorization: str
) -> tuple[Identity, str | None]:
    scopes = _parse_form_scopes(form.scope)
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


def _parse_form_scopes(text: str) -> frozenset[Scope] | None:
    try:
        return parse_scopes(text) or None
    except ValueError as error:
        raise OAuthError("invalid_scope") from error


async def _authenticate_client(
    form: TokenForm, dependencies: Dependencies, authorization: str, scopes: frozenset[Scope] | None
) -> Identity:
    """Returns the identity of an API key, from the `Authorization: Basic` header or the form."""
    client_id, secret = _parse_basic_auth(authorization) or (form.client_id, form.client_secret)
    match = await run_in_threadpool(dependencies.api_keys.find_identity_by_secret, secret)
    if match is None:
        raise OAuthError("invalid_client", 401)
    identity, _ = match
    if identity.key_id != client_id:
        raise OAuthError("invalid_client", 401)
    if scopes is None:
        return identity
    if not covers(identity.scopes, scopes):
        raise OAuthError("invalid_scope")
    return Identity(identity.user_id, scopes, key_id=identity.key_id)


def _parse_basic_auth(authorization: str) -> tuple[str, str] | None:
    """Returns the client id and secret, or None for another scheme. Raises OAuthError for malformed credentials."""
    scheme, _, encoded_credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client_id, _, secret = base64.b64decode(encoded_credentials, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise OAuthError("invalid_client", 401) from error
    return unquote_plus(client_id), unquote_plus(secret)
