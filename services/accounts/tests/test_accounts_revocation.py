"""Tests of revocation: a password reset and disabling a user end sessions and API keys."""

from typing import Any

import pytest
from bookwheel_accounts.passwords import PasswordHasher
from bookwheel_contracts import Scope
from bookwheel_contracts.problems import UnauthenticatedError
from pwdlib import PasswordHash

EMAIL = "reader@example.com"
NEW_PASSWORD = "another wheel of books"
SCOPES = frozenset({Scope.CATALOG_READ})


@pytest.fixture
async def new_hash(argon2: PasswordHash) -> str:
    hasher = PasswordHasher(1, argon2)
    password_hash = await hasher.hash(NEW_PASSWORD)
    hasher.close()
    return password_hash


async def _credentials(accounts: Any, email: str = EMAIL) -> dict[str, str]:
    tokens = await accounts.register_and_login(email)
    created = await accounts.send("POST", "/api/v1/auth/keys", tokens["access_token"], {"name": "laptop"})
    assert created.status_code == 201
    by_key = await accounts.http.post(
        "/api/v1/oauth/token",
        data={"grant_type": "client_credentials"},
        auth=(created.json()["id"], created.json()["key"]),
    )
    return {**tokens, "key": created.json()["key"], "key_token": by_key.json()["access_token"]}


async def _statuses(accounts: Any, credentials: dict[str, str]) -> set[int]:
    refreshed = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": credentials["refresh_token"]})
    verified = [await accounts.verify(credentials[name]) for name in ("access_token", "key", "key_token")]
    return {refreshed.status_code, *(response.status_code for response in verified)}


async def test_password_reset_revokes_sessions_and_api_keys(accounts: Any, new_hash: str) -> None:
    credentials = await _credentials(accounts)
    others = await _credentials(accounts, "other@example.com")
    assert accounts.dependencies.users.reset_credentials(EMAIL, new_hash, SCOPES)
    assert await _statuses(accounts, credentials) == {401}
    assert (await accounts.login()).status_code == 401
    fresh = await accounts.login(password=NEW_PASSWORD)
    assert (await accounts.verify(fresh.json()["access_token"])).status_code == 204
    assert (await accounts.verify(others["key"])).status_code == 204
    assert (await accounts.verify(others["access_token"])).status_code == 204


async def test_enabling_a_user_does_not_restore_old_credentials(accounts: Any, new_hash: str) -> None:
    credentials = await _credentials(accounts)
    assert accounts.dependencies.users.disable(EMAIL)
    assert await _statuses(accounts, credentials) == {401}
    assert accounts.dependencies.users.reset_credentials(EMAIL, new_hash, SCOPES)
    assert await _statuses(accounts, credentials) == {401}


async def test_disabling_a_user_revokes_the_credentials_themselves(accounts: Any) -> None:
    credentials = await _credentials(accounts)
    accounts.dependencies.users.disable(EMAIL)
    with accounts.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE account SET disabled_at = NULL")
    assert await _statuses(accounts, credentials) == {401}


async def test_login_during_a_password_reset_is_rejected(accounts: Any, new_hash: str) -> None:
    await accounts.register_and_login()
    user = accounts.dependencies.users.get_by_email(EMAIL)  # a login reads the user before the reset
    accounts.dependencies.users.reset_credentials(EMAIL, new_hash, SCOPES)
    with pytest.raises(UnauthenticatedError):
        accounts.dependencies.sessions.create(user, SCOPES)


async def test_revoked_session_cannot_create_an_api_key_with_its_internal_token(accounts: Any, new_hash: str) -> None:
    tokens = await accounts.register_and_login()
    verified = await accounts.verify(tokens["access_token"])
    accounts.dependencies.users.reset_credentials(EMAIL, new_hash, SCOPES)
    headers = {"Authorization": f"Bearer {verified.headers['x-internal-token']}"}
    response = await accounts.http.post("/api/v1/auth/keys", json={"name": "late"}, headers=headers)
    assert response.status_code == 401


async def test_new_scopes_do_not_end_sessions(accounts: Any) -> None:
    credentials = await _credentials(accounts)
    accounts.dependencies.users.set_scopes(EMAIL, SCOPES)
    verified = await accounts.verify(credentials["key"])
    assert (verified.status_code, verified.headers["x-scopes"]) == (204, "catalog:read")
