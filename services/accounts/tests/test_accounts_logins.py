"""Registering, logging in, refreshing and logging out."""

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


async def test_a_registered_user_logs_in_and_may_read_and_predict(accounts: Any) -> None:
    registered = await accounts.register()
    assert registered.status_code == 201
    assert registered.json()["scopes"] == ["catalog:read", "ml:predict"]
    tokens = (await accounts.login()).json()
    assert tokens["token_type"] == "bearer"
    assert tokens["expires_in"] == 900
    me = await accounts.ask("GET", "/api/v1/auth/me", tokens["access_token"])
    assert me.json() == registered.json()


async def test_no_password_or_token_is_stored_as_it_is(accounts: Any) -> None:
    tokens = await accounts.registered()
    with accounts.engine.connect() as connection:
        stored = repr([connection.execute(select(table)).all() for table in (account, login_session, refresh_token)])
    assert PASSWORD not in stored
    assert tokens["refresh_token"] not in stored
    assert "$argon2id$" in stored


async def test_answers_that_carry_secrets_may_not_be_stored(accounts: Any) -> None:
    await accounts.register()
    assert (await accounts.login()).headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    "email", ["", "reader", "reader@", "@example.com", "a b@example.com", "a@b@c.com", "a\x00@x.com"]
)
async def test_a_malformed_address_is_refused_by_name(accounts: Any, email: str) -> None:
    answer = await accounts.register(email)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "email"


async def test_one_mailbox_registers_once_however_it_is_spelled(accounts: Any) -> None:
    assert (await accounts.register("Reader@Example.COM")).status_code == 201
    again = await accounts.register("reader@example.com")
    assert again.status_code == 409
    assert again.json()["code"] == "conflict"
    assert (await accounts.login("READER@example.com")).status_code == 200


async def test_simultaneous_registrations_of_one_address_make_one_account(accounts: Any) -> None:
    answers = await asyncio.gather(*(accounts.register() for _ in range(4)))
    assert sorted(answer.status_code for answer in answers) == [201, 409, 409, 409]


@pytest.mark.parametrize(
    "password",
    ["", "short", "qwertyuiop", "PASSWORD123", "aaaaaaaaaaaa", "reader@example.com", "1234567890", "ababababababab"],
)
async def test_an_easy_password_is_refused(accounts: Any, password: str) -> None:
    answer = await accounts.register(password=password)
    assert answer.status_code == 400
    assert answer.json()["errors"][0] == {
        "field": "password",
        "code": "weak_password",
        "message": answer.json()["errors"][0]["message"],
    }


async def test_a_huge_password_is_refused_before_it_is_hashed(accounts: Any) -> None:
    assert (await accounts.register(password="x7" * 5000)).status_code == 400
    assert (await accounts.login(password="x7" * 5000)).status_code == 400


async def test_a_password_fits_in_every_unicode_form(accounts: Any) -> None:
    await accounts.register(password="Café au lait, s'il vous plaît")
    decomposed = await accounts.login(password="Cafe\u0301 au lait, s'il vous plai\u0302t")
    assert decomposed.status_code == 200


async def test_a_lone_surrogate_is_a_bad_request(accounts: Any) -> None:
    body = b'{"email": "reader@example.com", "password": "wheels \\ud800 and more"}'
    headers = {"Content-Type": "application/json"}
    for route in ("register", "login"):
        answer = await accounts.http.post(f"/api/v1/auth/{route}", content=body, headers=headers)
        assert answer.status_code == 400, answer.text


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"{", b"[" * 16_000, b'{"email": ' + b"9" * 15_000 + b"}", b"\xff\xfe"]
)
async def test_a_body_that_is_no_registration_is_a_bad_request(accounts: Any, body: bytes) -> None:
    for route in ("register", "login", "refresh"):
        headers = {"Content-Type": "application/json"}
        answer = await accounts.http.post(f"/api/v1/auth/{route}", content=body, headers=headers)
        assert answer.status_code == 400
        assert answer.headers["content-type"] == "application/problem+json"


async def test_a_database_that_is_away_is_503(accounts: Any) -> None:
    tokens = await accounts.registered()
    with accounts.engine.begin() as connection:
        connection.execute(text("DROP TABLE refresh_token"))
    for route, body in (
        ("login", {"email": "reader@example.com", "password": PASSWORD}),
        ("refresh", {"refresh_token": tokens["refresh_token"]}),
    ):
        answer = await accounts.http.post(f"/api/v1/auth/{route}", json=body)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"
        assert "SELECT" not in answer.text


async def test_wrong_password_unknown_address_and_disabled_user_look_the_same(accounts: Any) -> None:
    await accounts.register()
    await accounts.register("disabled@example.com")
    accounts.dependencies.users.disable("disabled@example.com")
    answers = [
        await accounts.login(password="not the right password"),
        await accounts.login("nobody@example.com"),
        await accounts.login("not an address"),
        await accounts.login("disabled@example.com"),
    ]
    assert {answer.status_code for answer in answers} == {401}
    bodies = [{name: value for name, value in answer.json().items() if name != "trace_id"} for answer in answers]
    assert all(body == bodies[0] for body in bodies)


async def test_a_login_may_ask_for_less_but_not_for_more(accounts: Any) -> None:
    await accounts.register()
    body = {"email": "reader@example.com", "password": PASSWORD}
    less = await accounts.http.post("/api/v1/auth/login", json={**body, "scopes": ["catalog:read"]})
    assert less.json()["scope"] == "catalog:read"
    more = await accounts.http.post("/api/v1/auth/login", json={**body, "scopes": ["admin"]})
    assert more.status_code == 403


async def test_an_unknown_field_is_named(accounts: Any) -> None:
    body = {"email": "reader@example.com", "password": PASSWORD, "scope": "admin"}
    answer = await accounts.http.post("/api/v1/auth/register", json=body)
    assert answer.status_code == 400
    assert answer.json()["errors"][0]["field"] == "scope"


async def test_a_refresh_gives_a_new_pair_with_the_same_scopes(accounts: Any) -> None:
    tokens = await accounts.registered()
    refreshed = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 200
    assert refreshed.json()["scope"] == tokens["scope"]
    assert refreshed.json()["refresh_token"] != tokens["refresh_token"]
    assert (await accounts.verify(refreshed.json()["access_token"])).status_code == 204


async def test_a_refresh_token_that_comes_twice_ends_the_login(accounts: Any) -> None:
    tokens = await accounts.registered()
    stolen = {"refresh_token": tokens["refresh_token"]}
    fresh = (await accounts.http.post("/api/v1/auth/refresh", json=stolen)).json()
    assert (await accounts.http.post("/api/v1/auth/refresh", json=stolen)).status_code == 401
    after = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": fresh["refresh_token"]})
    assert after.status_code == 401
    assert (await accounts.verify(fresh["access_token"])).headers["x-refusal"] == "revoked"


async def test_of_simultaneous_refreshes_one_wins_at_most_and_the_login_ends(accounts: Any) -> None:
    tokens = await accounts.registered()
    body = {"refresh_token": tokens["refresh_token"]}
    answers = await asyncio.gather(*(accounts.http.post("/api/v1/auth/refresh", json=body) for _ in range(5)))
    assert sorted(answer.status_code for answer in answers) == [200, 401, 401, 401, 401]
    assert (await accounts.verify(tokens["access_token"])).status_code == 401


async def test_a_made_up_refresh_token_ends_nobodys_login(accounts: Any) -> None:
    tokens = await accounts.registered()
    for made_up in ("", "bwr_x", tokens["access_token"][:200], tokens["refresh_token"] + "x", "\u0000"):
        answer = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": made_up})
        assert answer.status_code == 401
    assert (await accounts.verify(tokens["access_token"])).status_code == 204


async def test_a_logout_ends_the_access_token_and_the_refresh_token(accounts: Any) -> None:
    tokens = await accounts.registered()
    other = (await accounts.login()).json()
    assert (await accounts.ask("POST", "/api/v1/auth/logout", tokens["access_token"])).status_code == 204
    assert (await accounts.verify(tokens["access_token"])).headers["x-refusal"] == "revoked"
    refreshed = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert refreshed.status_code == 401
    assert (await accounts.verify(other["access_token"])).status_code == 204, "another login lives on"


async def test_a_login_that_is_over_can_not_be_refreshed_and_is_swept_out(accounts: Any) -> None:
    tokens = await accounts.registered()
    with accounts.engine.begin() as connection:
        connection.execute(update(login_session).values(expires_at=int(time.time()) - 1))
    answer = await accounts.http.post("/api/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert answer.status_code == 401
    await accounts.login()
    with accounts.engine.connect() as connection:
        assert connection.execute(select(func.count()).select_from(login_session)).scalar_one() == 1
        assert connection.execute(select(func.count()).select_from(refresh_token)).scalar_one() == 1


async def test_a_user_who_lost_a_scope_has_it_in_no_token_any_more(accounts: Any) -> None:
    tokens = await accounts.registered()
    with accounts.engine.begin() as connection:
        connection.execute(update(account).values(scopes="catalog:read"))
    assert (await accounts.verify(tokens["access_token"])).headers["x-scopes"] == "catalog:read"


async def test_registration_can_be_closed(accounts: Any) -> None:
    closed = replace(accounts.dependencies.authenticator, registration=False)
    with pytest.raises(ForbiddenError):
        await closed.register("reader@example.com", PASSWORD)


def test_addresses_are_normalised_or_refused() -> None:
    assert normalize_email("Ada.Lovelace@EXAMPLE.com") == "ada.lovelace@example.com"
    with pytest.raises(InvalidParameterError):
        normalize_email("ada@example.com\r\nBcc: x@example.com")
