"""Tests of the OAuth 2 token endpoint."""

import base64
from typing import Any

import httpx
import pytest

PASSWORD = "a wheel of open books"


async def _token(accounts: Any, client_header: str = "", **form: str) -> httpx.Response:
    response: httpx.Response = await accounts.http.post(
        "/api/v1/oauth/token", data=form, headers={"Authorization": client_header}
    )
    assert response.headers["cache-control"] == "no-store"
    return response


async def _api_key(accounts: Any) -> dict[str, Any]:
    token = (await accounts.register_and_login())["access_token"]
    created: dict[str, Any] = (await accounts.send("POST", "/api/v1/auth/keys", token, {"name": "job"})).json()
    return created


async def test_password_and_refresh_token_grants(accounts: Any) -> None:
    await accounts.register()
    first = await _token(accounts, grant_type="password", username="reader@example.com", password=PASSWORD)
    assert first.json()["scope"] == "catalog:read ml:predict"
    second = await _token(accounts, grant_type="refresh_token", refresh_token=first.json()["refresh_token"])
    assert (await accounts.verify(second.json()["access_token"])).status_code == 204


async def test_client_credentials_token_is_revoked_with_its_api_key(accounts: Any) -> None:
    key = await _api_key(accounts)
    response = await _token(
        accounts, grant_type="client_credentials", client_id=key["id"], client_secret=key["key"], scope="catalog:read"
    )
    assert "refresh_token" not in response.json()
    token = response.json()["access_token"]
    assert (await accounts.verify(token)).headers["x-scopes"] == "catalog:read"
    login = (await accounts.login()).json()["access_token"]
    await accounts.send("DELETE", f"/api/v1/auth/keys/{key['id']}", login)
    assert (await accounts.verify(token)).headers["x-refusal"] == "revoked"


async def test_client_can_authenticate_with_basic_auth(accounts: Any) -> None:
    key = await _api_key(accounts)
    basic = base64.b64encode(f"{key['id']}:{key['key']}".encode()).decode()
    response = await _token(accounts, f"Basic {basic}", grant_type="client_credentials")
    assert response.status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({}, 400, "invalid_request"),
        ({"grant_type": "implicit"}, 400, "unsupported_grant_type"),
        (
            {"grant_type": "password", "username": "reader@example.com", "password": "wrong wrong wrong"},
            400,
            "invalid_grant",
        ),
        (
            {"grant_type": "password", "username": "reader@example.com", "password": PASSWORD, "scope": "admin"},
            400,
            "invalid_scope",
        ),
        (
            {"grant_type": "password", "username": "reader@example.com", "password": PASSWORD, "scope": "root"},
            400,
            "invalid_scope",
        ),
        ({"grant_type": "refresh_token", "refresh_token": "bwr_x"}, 400, "invalid_grant"),
        ({"grant_type": "client_credentials", "client_id": "key_x", "client_secret": "bw_x"}, 401, "invalid_client"),
    ],
)
async def test_errors_have_oauth_codes(accounts: Any, form: dict[str, str], status: int, error: str) -> None:
    await accounts.register()
    response = await _token(accounts, **form)
    assert (response.status_code, response.json()) == (status, {"error": error})


@pytest.mark.parametrize("header", ["Basic", "Basic !!!", "Basic " + base64.b64encode(b"\xff\xfe").decode()])
async def test_malformed_basic_auth_returns_invalid_client(accounts: Any, header: str) -> None:
    response = await _token(accounts, header, grant_type="client_credentials")
    assert (response.status_code, response.json()) == (401, {"error": "invalid_client"})


async def test_client_id_must_be_the_id_of_the_api_key(accounts: Any) -> None:
    key = await _api_key(accounts)
    response = await _token(accounts, grant_type="client_credentials", client_id="key_other", client_secret=key["key"])
    assert response.status_code == 401
