"""Tests of registration, login, refresh and logout."""

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from bookwheel_accounts.authentication import normalize_email
from bookwheel_accounts.tables import account, login_session, refresh_token
from bookwheel_contracts.problems import ForbiddenError, InvalidParameterError
from sqlalchemy import func, select, text, update

PASSWORD = "a wheel of open books"


async def test_registered_user_logs_in_with_default_scopes(accounts: Any) -> None:
    registered = await accounts.register()
    assert registered.status_code == 201
    assert registered.json()["scopes"] == ["catalog:read", "ml:predict"]
    tokens = (await accounts.login()).json()
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == 900
    me = await accounts.send("GET", "/api/v1/auth/me", tokens["access_token"])
    assert me.json() == registered.json()


async def test_passwords_and_refresh_tokens_are_stored_as_hashes(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    with accounts.engine.connect() as connection:
        stored = repr([connection.execute(select(table)).all() for table in (account, login_session, refresh_token)])
    assert PASSWORD not in stored
    assert tokens["refresh_token"] not in stored
    assert "$argon2id$" in stored


async def test_responses_with_tokens_are_not_cacheable(accounts: Any) -> None:
    await accounts.register()
    assert (await accounts.login()).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "email", ["", "reader", "reader@", "@example.com", "a b@example.com", "a@b@c.com", "a\x00@x.com"]
)
async def test_malformed_address_is_rejected(accounts: Any, email: str) -> None:
    response = await accounts.register(email)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "email"


async def test_address_registers_once_regardless_of_case(accounts: Any) -> None:
    assert (await accounts.register("Reader@Example.COM")).status_code == 201
    again = await accounts.register("reader@example.com")
    assert again.status_code == 409
    assert again.json()["code"] == "conflict"
    assert (await accounts.login("READER@example.com")).status_code == 200


async def test_concurrent_registrations_of_an_address_create_one_account(accounts: Any) -> None:
    responses = await asyncio.gather(*(accounts.register() for _ in range(4)))
    assert sorted(response.status_code for response in responses) == [201, 409, 409, 409]


@pytest.mark.parametrize(
    "password",
    ["", "short", "qwertyuiop", "PASSWORD123", "aaaaaaaaaaaa", "reader@example.com", "1234567890", "ababababababab"],
)
async def test_weak_password_is_rejected(accounts: Any, password: str) -> None:
    response = await accounts.register(password=password)
    assert response.status_code == 400
    assert response.json()["errors"][0] == {
        "field": "password",
        "code": "weak_password",
        "message": response.json()["errors"][0]["message"],
    }


async def test_too_long_password_is_rejected(accounts: Any) -> None:
    assert (await accounts.register(password="x7" * 5000)).status_code == 400
    assert (await accounts.login(password="x7" * 5000)).status_code == 400


async def test_password_matches_in_any_unicode_normal_form(accounts: Any) -> None:
    await accounts.register(password="Café au lait, s'il vous plaît")
    decomposed = await accounts.login(password="Cafe\u0301 au lait, s'il vous plai\u0302t")
    assert decomposed.status_code == 200


async def test_lone_surrogate_returns_400(accounts: Any) -> None:
    body = b'{"email": "reader@example.com", "password": "wheels \\ud800 and more"}'
    headers = {"Content-Type": "application/json"}
    for route in ("register", "login"):
        response = await accounts.http.post(f"/api/v1/auth/{route}", content=body, headers=headers)
        assert response.status_code == 400, response.text


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"[" * 16_000, b'{"email": ' + b"9" * 15_000 + b"}", b"\xff\xfe"]
)
async def test_malformed_body_returns_400(accounts: Any, body: bytes) -> None:
    for route in ("register", "login", "refresh"):
        headers = {"Content-Type": "application/json"}
        response = await accounts.http.post(f"/api/v1/auth/{route}", content=body, headers=headers)
        assert response.status_code == 400
        assert response.headers["content-type"] == "application/problem+json"


async def test_unavailable_database_returns_503(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    with accounts.engine.begin() as connection:
        connection.execute(text("DROP TABLE refresh_token"))
    for route, body in (
        ("login", {"email": "reader@example.com", "password": PASSWORD}),
        ("refresh", {"refresh_token": tokens["refresh_token"]}),
    ):
        response = await accounts.http.post(f"/api/v1/auth/{route}", json=body)
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.headers["retry-after"] == "1"
        assert "SELECT" not in response.text


async def test_failed_logins_have_the_same_response(accounts: Any) -> None:
    await accounts.register()
    await accounts.register("disabled@example.com")
    accounts.dependencies.users.disable("disabled@example.com")
    responses = [
        await accounts.login(password="not the right password"),
        await accounts.login("nobody@example.com"),
        await accounts.login("not an address"),
        await accounts.login("disabled@example.com"),
    ]
    assert {response.status_code for response in responses} == {401}
    bodies = [{name: value for name, value in response.json().items() if name != "trace_id"} for response in responses]
    assert all(body == bodies[0] for body in bodies)


async def test_login_can_request_fewer_scopes_but_not_more(accounts: Any) -> None:
    await accounts.register()
    body = {"email": "reader@example.com", "password": PASSWORD}
    less = await accounts.http.post("/api/v1/auth/login", json={**body, "scopes": ["catalog:read"]})
    assert less.json()["scope"] == "catalog:read"
    more = await accounts.http.post("/api/v1/auth/login", json={**body, "scopes": ["admin"]})
    assert more.status_code == 403


async def test_error_names_an_unknown_field(accounts: Any) -> None:
    body = {"email": "reader@example.com", "password": PASSWORD, "scope": "admin"}
    response = await accounts.http.post("/api/v1/auth/register", json=body)
    assert response.status_code == 400
    assert response.json()["errors"][0]["field"] == "scope"


async def test_refresh_returns_new_tokens_with_the_same_scopes(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    refreshed = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 200
    assert refreshed.json()["scope"] == tokens["scope"]
    assert refreshed.json()["refresh_token"] != tokens["refresh_token"]
    assert (await accounts.verify(refreshed.json()["access_token"])).status_code == 204


async def test_reused_refresh_token_ends_the_session(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    stolen = {"refresh_token": tokens["refresh_token"]}
    fresh = (await accounts.http.post("/api/v1/auth/refresh", json=stolen)).json()
    assert (await accounts.http.post("/api/v1/auth/refresh", json=stolen)).status_code == 401
    after = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": fresh["refresh_token"]})
    assert after.status_code == 401
    assert (await accounts.verify(fresh["access_token"])).headers["x-refusal"] == "revoked"


async def test_concurrent_refreshes_end_the_session(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    body = {"refresh_token": tokens["refresh_token"]}
    responses = await asyncio.gather(*(accounts.http.post("/api/v1/auth/refresh", json=body) for _ in range(5)))
    assert sorted(response.status_code for response in responses) == [200, 401, 401, 401, 401]
    assert (await accounts.verify(tokens["access_token"])).status_code == 401


async def test_unknown_refresh_token_does_not_end_a_session(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    for token in ("", "bwr_x", tokens["access_token"][:200], tokens["refresh_token"] + "x", "\u0000"):
        response = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": token})
        assert response.status_code == 401
    assert (await accounts.verify(tokens["access_token"])).status_code == 204


async def test_logout_revokes_access_and_refresh_token(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    other = (await accounts.login()).json()
    assert (await accounts.send("POST", "/api/v1/auth/logout", tokens["access_token"])).status_code == 204
    assert (await accounts.verify(tokens["access_token"])).headers["x-refusal"] == "revoked"
    refreshed = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 401
    assert (await accounts.verify(other["access_token"])).status_code == 204, "the other session remains valid"


async def test_expired_session_is_not_refreshed_and_is_deleted(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    with accounts.engine.begin() as connection:
        connection.execute(update(login_session).values(expires_at=int(time.time()) - 1))
    response = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert response.status_code == 401
    await accounts.login()
    with accounts.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(login_session)).scalar_one() == 1
        assert connection.execute(select(func.count()).select_from(refresh_token)).scalar_one() == 1


async def test_token_loses_a_scope_that_its_user_lost(accounts: Any) -> None:
    tokens = await accounts.register_and_login()
    with accounts.engine.begin() as connection:
        connection.execute(update(account).values(scopes="catalog:read"))
    assert (await accounts.verify(tokens["access_token"])).headers["x-scopes"] == "catalog:read"


async def test_registration_can_be_disabled(accounts: Any) -> None:
    closed = replace(accounts.dependencies.authenticator, registration=False)
    with pytest.raises(ForbiddenError):
        await closed.register("reader@example.com", PASSWORD)


def test_addresses_are_normalized_or_rejected() -> None:
    assert normalize_email("Ada.Lovelace@EXAMPLE.com") == "ada.lovelace@example.com"
    with pytest.raises(InvalidParameterError):
        normalize_email("ada@example.com\r\nBcc: x@example.com")
