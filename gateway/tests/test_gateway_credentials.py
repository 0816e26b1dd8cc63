"""Who gets through the gateway, and what the services see of them."""

import base64
import json
import time
from typing import Any

import httpx
import pytest
from bookwheel_testing.servers import free_port, wait_until

READING = ["catalog:read", "ml:predict"]


def _headers(answer: httpx.Response) -> dict[str, str]:
    return dict(answer.json()["headers"])


def _subject(token: str) -> str:
    body = token.split(".")[1]
    claims: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return str(claims["sub"])


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/api/v1/books?q=x", "catalog"),
        ("/api/v1/crawls/1", "catalog"),
        ("/api/v1/ml/models", "ml"),
        ("/api/v1/ml/predictions", "ml"),
        ("/api/v1/mlx", "catalog"),
        ("/api/v1/no/such/route", "catalog"),
    ],
)
def test_a_route_needs_a_token_and_reaches_its_service(gateway: Any, token: str, path: str, service: str) -> None:
    refused = gateway.get(path)
    assert refused.status_code == 401
    assert refused.json()["code"] == "unauthenticated"
    assert refused.headers["www-authenticate"] == 'Bearer realm="bookwheel"'
    answer = gateway.get(path, token)
    assert answer.json()["service"] == service
    assert answer.json()["path"] == path.partition("?")[0]
    assert answer.json()["claims"] == {"sub": _subject(token), "scopes": READING}


def test_the_accounts_routes_reach_accounts(gateway: Any, token: str) -> None:
    assert gateway.get("/api/v1/auth/me").status_code == 401
    assert gateway.get("/api/v1/auth/me", token).json()["email"] == "reader@example.com"


def test_a_service_gets_the_internal_token_and_never_the_callers(gateway: Any, token: str) -> None:
    seen = _headers(gateway.get("/api/v1/books", token))
    assert seen["authorization"].startswith("Bearer ey")
    assert token not in json.dumps(seen)


def test_what_a_client_sends_under_trusted_names_ends_at_the_gateway(gateway: Any, token: str) -> None:
    forged = {
        "X-Subject": "usr_admin",
        "X-Internal-Token": "forged",
        "X-Scopes": "admin",
        "X_Subject": "usr_admin",
        "X-Forwarded-For": "6.6.6.6",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Prefix": "/evil",
        "Forwarded": "for=6.6.6.6",
        "X-Real-IP": "6.6.6.6",
        "Proxy": "http://evil.example",
        "Cookie": "session=forged",
        "Upgrade": "h2c",
    }
    answer = gateway.get("/api/v1/books", token, headers=forged)
    seen = _headers(answer)
    assert answer.json()["claims"]["sub"] == _subject(token)
    assert not {"x-subject", "x-internal-token", "x-scopes", "x_subject", "x-forwarded-host", "forwarded"} & set(seen)
    assert not {"proxy", "cookie", "upgrade", "x-api-key", "x-forwarded-prefix"} & set(seen)
    assert seen["x-forwarded-for"] == seen["x-real-ip"] == "127.0.0.1"


def test_a_header_named_by_the_connection_header_does_not_drop_the_token(gateway: Any, token: str) -> None:
    answer = gateway.get("/api/v1/books", token, headers={"Connection": "close, Authorization, traceparent"})
    assert answer.json()["claims"]["sub"] == _subject(token)
    assert "traceparent" in _headers(answer)


def test_public_routes_pass_no_credential_on(gateway: Any, services: Any) -> None:
    answer = gateway.request(
        "POST", "/api/v1/auth/login", "x", json={"email": "nobody@example.com", "password": "wrong wrong wrong"}
    )
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert len(answer.headers.get_list("www-authenticate")) == 1


@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ({"Authorization": "Bearer nonsense"}, "is invalid"),
        ({"Authorization": "Basic cmVhZGVyOnNlY3JldA=="}, "is invalid"),
        ({"X-API-Key": "bw_unknown"}, "is invalid"),
        ({"X-API-Key": "bw_x", "Authorization": "Bearer x"}, "both"),
        ({"Authorization": "Bearer " + "x" * 6000}, "is invalid"),
    ],
)
def test_a_refusal_tells_why(gateway: Any, headers: dict[str, str], says: str) -> None:
    answer = gateway.get("/api/v1/books", headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="bookwheel", error="invalid_token"'
    assert says in answer.json()["detail"]


def test_a_token_of_which_one_character_changed_is_refused_even_while_the_good_one_is_cached(
    gateway: Any, token: str
) -> None:
    assert gateway.get("/api/v1/books", token).status_code == 200
    head, body, signature = token.split(".")
    for changed in (
        f"{head}.{body[:-2]}AA.{signature}",
        f"{head}.{body}.{'A' * len(signature)}",
        f"{token}|",
        f" {token}x",
    ):
        assert gateway.get("/api/v1/books", changed).status_code == 401
    assert gateway.get("/api/v1/books", headers={"X-API-Key": token}).status_code == 401


def test_an_api_key_works_in_either_header_and_ends_within_seconds_of_its_revocation(
    gateway: Any, services: Any
) -> None:
    login = services.login("keys@example.com")["access_token"]
    made = gateway.request("POST", "/api/v1/auth/keys", login, json={"name": "laptop"}).json()
    by_header = gateway.get("/api/v1/books", headers={"X-API-Key": made["key"]})
    assert by_header.json()["claims"]["sub"] == _subject(login)
    assert made["key"] not in by_header.text
    assert gateway.get("/api/v1/books", made["key"]).status_code == 200
    assert gateway.request("DELETE", f"/api/v1/auth/keys/{made['id']}", login).status_code == 204
    wait_until(lambda: gateway.get("/api/v1/books", made["key"]).status_code == 401, seconds=6, what="the refusal")


def test_a_logout_is_felt_within_the_seconds_of_the_cache(gateway: Any, services: Any) -> None:
    login = services.login("leaving@example.com")["access_token"]
    assert gateway.get("/api/v1/books", login).status_code == 200
    started = time.monotonic()
    assert gateway.request("POST", "/api/v1/auth/logout", login).status_code == 204
    wait_until(lambda: gateway.get("/api/v1/books", login).status_code == 401, seconds=6, what="the refusal")
    assert time.monotonic() - started < 5
    assert "revoked" in gateway.get("/api/v1/books", login).json()["detail"]


def test_a_good_credential_is_checked_once_in_a_while_and_not_at_each_request(gateway: Any, services: Any) -> None:
    login = services.login("busy@example.com")["access_token"]
    internal = {_headers(gateway.get(f"/api/v1/books?n={number}", login))["authorization"] for number in range(20)}
    assert len(internal) <= 2, "the same internal token comes from the cache, but for a change of its seconds"


def test_a_body_does_not_spill_into_the_next_check(gateway: Any, token: str) -> None:
    body = b"GET /verify HTTP/1.1\r\nHost: a\r\n\r\n"
    for number in range(6):
        refused = gateway.request("POST", "/api/v1/books", f"nonsense{number}", content=body)
        assert refused.status_code == 401
        chunked = gateway.request("POST", "/api/v1/books", f"nonsense{number}x", content=iter([body]))
        assert chunked.status_code == 401
        assert gateway.get("/api/v1/auth/me", token).json()["email"] == "reader@example.com"


def test_two_users_never_share_an_answer(gateway: Any, services: Any) -> None:
    logins = [services.login(f"user{number}@example.com")["access_token"] for number in range(3)]
    for _ in range(3):
        for login in logins:
            assert gateway.get("/api/v1/books", login).json()["claims"]["sub"] == _subject(login)


def test_the_check_being_away_is_503_and_lets_nobody_in(start_gateway: Any, token: str) -> None:
    gateway = start_gateway(ACCOUNTS_ADDRESS=f"127.0.0.1:{free_port()}")
    for credential in (token, None):
        answer = gateway.get("/api/v1/books", credential)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"] == "1"


def test_the_gateways_own_check_can_not_be_reached(gateway: Any, token: str) -> None:
    for path in ("/_verify", "/verify", "/_problem/401", "/suite/readyz"):
        assert gateway.get(path, token).status_code == 404
