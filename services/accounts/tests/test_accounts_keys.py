"""Tests of API keys: secrecy, scopes, revocation, expiry, limits."""

import time
from typing import Any

import pytest
from bookwheel_accounts.api_keys import MAX_KEYS_PER_USER
from bookwheel_accounts.tables import api_key
from sqlalchemy import select, update

KEYS = "/api/v1/auth/keys"


async def _key(accounts: Any, token: str, **fields: Any) -> dict[str, Any]:
    response = await accounts.send("POST", KEYS, token, {"name": "laptop", **fields})
    assert response.status_code == 201, response.text
    created: dict[str, Any] = response.json()
    return created


async def test_api_key_authenticates_its_user(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    key = (await _key(accounts, tokens["access_token"]))["key"]
    assert key.startswith("bw_")
    by_bearer = await accounts.verify(key)
    by_header = await accounts.http.get("/verify", headers={"X-API-Key": key})
    by_token = await accounts.verify(tokens["access_token"])
    assert by_bearer.headers["x-subject"] == by_header.headers["x-subject"] == by_token.headers["x-subject"]


async def test_api_key_is_shown_once_and_stored_as_a_hash(accounts: Any) -> None:
    token = (await accounts.register_and_login())["access_token"]
    created = await _key(accounts, token)
    listed = (await accounts.send("GET", KEYS, token)).json()["items"]
    assert listed == [{name: value for name, value in created.items() if name != "key"}]
    with accounts.engine.connect() as connection:
        assert created["key"] not in repr(connection.execute(select(api_key)).all())


async def test_revoked_api_key_is_rejected_and_not_listed(accounts: Any) -> None:
    token = (await accounts.register_and_login())["access_token"]
    created = await _key(accounts, token)
    path = f"{KEYS}/{created['id']}"
    assert (await accounts.send("DELETE", path, token)).status_code == 204
    assert (await accounts.send("DELETE", path, token)).status_code == 404, "twice"
    assert (await accounts.verify(created["key"])).status_code == 401
    assert (await accounts.send("GET", KEYS, token)).json() == {"items": []}


async def test_user_cannot_list_or_revoke_keys_of_another_user(accounts: Any) -> None:
    mine = (await accounts.register_and_login())["access_token"]
    theirs = (await accounts.register_and_login("other@example.com"))["access_token"]
    created = await _key(accounts, mine)
    assert (await accounts.send("GET", KEYS, theirs)).json() == {"items": []}
    assert (await accounts.send("DELETE", f"{KEYS}/{created['id']}", theirs)).status_code == 404
    assert (await accounts.verify(created["key"])).status_code == 204


async def test_api_key_cannot_have_more_scopes_than_its_session(accounts: Any) -> None:
    token = (await accounts.register_and_login())["access_token"]
    key = await _key(accounts, token, scopes=["catalog:read"])
    assert (await accounts.verify(key["key"])).headers["x-scopes"] == "catalog:read"
    more = await accounts.send("POST", KEYS, token, {"name": "root", "scopes": ["admin"]})
    assert more.status_code == 403


async def test_api_key_cannot_manage_keys_or_log_out(accounts: Any) -> None:
    token = (await accounts.register_and_login())["access_token"]
    key = (await _key(accounts, token))["key"]
    for method, path, body in (
        ("POST", KEYS, {"name": "x"}),
        ("GET", KEYS, None),
        ("POST", "/api/v1/auth/logout", None),
    ):
        assert (await accounts.send(method, path, key, body)).status_code == 403
    assert (await accounts.send("GET", "/api/v1/auth/me", key)).status_code == 200


async def test_api_key_is_rejected_after_expiry_or_for_a_disabled_user(accounts: Any) -> None:
    token = (await accounts.register_and_login())["access_token"]
    key = await _key(accounts, token, expires_at="2999-01-01T00:00:00Z")
    assert key["expires_at"] == "2999-01-01T00:00:00.000Z"
    with accounts.engine.begin() as connection:
        connection.execute(update(api_key).values(expires_at=int(time.time()) + 3))
    assert int((await accounts.verify(key["key"])).headers["x-accel-expires"]) <= 3
    with accounts.engine.begin() as connection:
        connection.execute(update(api_key).values(expires_at=int(time.time())))
    assert (await accounts.verify(key["key"])).status_code == 401
    lasting = await _key(accounts, token)
    accounts.dependencies.users.disable("reader@example.com")
    assert (await accounts.verify(lasting["key"])).status_code == 401
    assert (await accounts.verify(token)).headers["x-refusal"] == "revoked"


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": ""},
        {"name": "x" * 101},
        {"name": "a\nb"},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x", "expires_at": "2001-01-01T00:00:00Z"},
        {"name": "x", "expires_at": "2999-01-01T00:00:00"},
        {"name": "x", "owner": "usr_1"},
    ],
)
async def test_malformed_key_request_is_rejected(accounts: Any, body: dict[str, Any]) -> None:
    token = (await accounts.register_and_login())["access_token"]
    assert (await accounts.send("POST", KEYS, token, body)).status_code == 400


async def test_number_of_api_keys_is_limited(accounts: Any) -> None:
    token = (await accounts.register_and_login())["access_token"]
    identity, _ = accounts.dependencies.credentials.verify(f"Bearer {token}", "")
    for number in range(MAX_KEYS_PER_USER):
        accounts.dependencies.api_keys.create(identity, f"key {number}", frozenset(), None)
    assert (await accounts.send("POST", KEYS, token, {"name": "one more"})).status_code == 409
