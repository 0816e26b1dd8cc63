"""API keys: shown once, no more than their maker, ended at once."""

import time
from typing import Any

import pytest
from bookwheel_accounts.api_keys import MAX_KEYS_PER_USER
from bookwheel_accounts.tables import api_key
from sqlalchemy import select, update

KEYS = "/api/v1/auth/keys"


async def _key(accounts: Any, token: str, **fields: Any) -> dict[str, Any]:
    answer = await accounts.ask("POST", KEYS, token, {"name": "laptop", **fields})
    assert answer.status_code == 201, answer.text
    created: dict[str, Any] = answer.json()
    return created


async def test_a_key_stands_for_its_user(accounts: Any) -> None:
    tokens = await accounts.registered()
    key = (await _key(accounts, tokens["access_token"]))["key"]
    assert key.startswith("bw_")
    by_bearer = await accounts.verify(key)
    by_header = await accounts.http.get("/verify", headers={"X-API-Key": key})
    by_token = await accounts.verify(tokens["access_token"])
    assert by_bearer.headers["x-subject"] == by_header.headers["x-subject"] == by_token.headers["x-subject"]


async def test_a_key_is_shown_once_and_stored_as_a_hash(accounts: Any) -> None:
    token = (await accounts.registered())["access_token"]
    created = await _key(accounts, token)
    listed = (await accounts.ask("GET", KEYS, token)).json()["items"]
    assert listed == [{name: value for name, value in created.items() if name != "key"}]
    with accounts.engine.connect() as connection:
        assert created["key"] not in repr(connection.execute(select(api_key)).all())


async def test_a_revoked_key_is_refused_and_not_listed(accounts: Any) -> None:
    token = (await accounts.registered())["access_token"]
    created = await _key(accounts, token)
    path = f"{KEYS}/{created['id']}"
    assert (await accounts.ask("DELETE", path, token)).status_code == 204
    assert (await accounts.ask("DELETE", path, token)).status_code == 404, "twice"
    assert (await accounts.verify(created["key"])).status_code == 401
    assert (await accounts.ask("GET", KEYS, token)).json() == {"items": []}


async def test_nobody_sees_or_revokes_another_users_key(accounts: Any) -> None:
    mine = (await accounts.registered())["access_token"]
    theirs = (await accounts.registered("other@example.com"))["access_token"]
    created = await _key(accounts, mine)
    assert (await accounts.ask("GET", KEYS, theirs)).json() == {"items": []}
    assert (await accounts.ask("DELETE", f"{KEYS}/{created['id']}", theirs)).status_code == 404
    assert (await accounts.verify(created["key"])).status_code == 204


async def test_a_key_may_have_less_than_its_login_but_not_more(accounts: Any) -> None:
    token = (await accounts.registered())["access_token"]
    key = await _key(accounts, token, scopes=["catalog:read"])
    assert (await accounts.verify(key["key"])).headers["x-scopes"] == "catalog:read"
    more = await accounts.ask("POST", KEYS, token, {"name": "root", "scopes": ["admin"]})
    assert more.status_code == 403


async def test_a_key_makes_no_keys_and_ends_no_logins(accounts: Any) -> None:
    token = (await accounts.registered())["access_token"]
    key = (await _key(accounts, token))["key"]
    for method, path, body in (
        ("POST", KEYS, {"name": "x"}),
        ("GET", KEYS, None),
        ("POST", "/api/v1/auth/logout", None),
    ):
        assert (await accounts.ask(method, path, key, body)).status_code == 403
    assert (await accounts.ask("GET", "/api/v1/auth/me", key)).status_code == 200


async def test_a_key_ends_at_its_time_and_with_its_user(accounts: Any) -> None:
    token = (await accounts.registered())["access_token"]
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
async def test_a_malformed_key_request_is_refused(accounts: Any, body: dict[str, Any]) -> None:
    token = (await accounts.registered())["access_token"]
    assert (await accounts.ask("POST", KEYS, token, body)).status_code == 400


async def test_a_user_has_so_many_keys_and_no_more(accounts: Any) -> None:
    token = (await accounts.registered())["access_token"]
    identity, _ = accounts.dependencies.credentials.verify(f"Bearer {token}", "")
    for number in range(MAX_KEYS_PER_USER):
        accounts.dependencies.api_keys.create(identity, f"key {number}", frozenset(), None)
    assert (await accounts.ask("POST", KEYS, token, {"name": "one more"})).status_code == 409
