"""Tests of the credential check, and of the headers that services receive."""

import base64
import json
import time
from typing import Any

import httpx
import pytest
from bookwheel_testing.servers import free_port, wait_until

READ_SCOPES = ["catalog:read", "ml:predict"]


def _headers(response: httpx.Response) -> dict[str, str]:
    return dict(response.json()["headers"])


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
def test_route_requires_a_token_and_reaches_its_service(gateway: Any, token: str, path: str, service: str) -> None:
    rejected = gateway.get(path)
    assert rejected.status_code == 401
    assert rejected.json()["code"] == "unauthenticated"
    assert rejected.headers["www-authenticate"] == 'Bearer realm="bookwheel"'
    response = gateway.get(path, token)
    assert response.json()["service"] == service
    assert response.json()["path"] == path.partition("?")[0]
    assert response.json()["claims"] == {"sub": _subject(token), "scopes": READ_SCOPES}


def test_account_routes_reach_the_accounts_service(gateway: Any, token: str) -> None:
    assert gateway.get("/api/v1/auth/me").status_code == 401
    assert gateway.get("/api/v1/auth/me", token).json()["email"] == "reader@example.com"


def test_service_receives_the_internal_token_instead_of_the_credential(gateway: Any, token: str) -> None:
    seen = _headers(gateway.get("/api/v1/books", token))
    assert seen["authorization"].startswith("Bearer ey")
    assert token not in json.dumps(seen)


def test_trusted_headers_of_clients_are_removed(gateway: Any, token: str) -> None:
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
    response = gateway.get("/api/v1/books", token, headers=forged)
    seen = _headers(response)
    assert response.json()["claims"]["sub"] == _subject(token)
    assert not {"x-subject", "x-internal-token", "x-scopes", "x_subject", "x-forwarded-host", "forwarded"} & set(seen)
    assert not {"proxy", "cookie", "upgrade", "x-api-key", "x-forwarded-prefix"} & set(seen)
    assert seen["x-forwarded-for"] == seen["x-real-ip"] == "127.0.0.1"


def test_connection_header_cannot_remove_the_token(gateway: Any, token: str) -> None:
    response = gateway.get("/api/v1/books", token, headers={"Connection": "close, Authorization, traceparent"})
    assert response.json()["claims"]["sub"] == _subject(token)
    assert "traceparent" in _headers(response)


def test_public_routes_do_not_forward_credentials(gateway: Any, services: Any) -> None:
    response = gateway.request(
        "POST", "/api/v1/auth/login", "x", json={"email": "nobody@example.com", "password": "wrong wrong wrong"}
    )
    assert (response.status_code, response.json()["code"]) == (401, "unauthenticated")
    assert len(response.headers.get_list("www-authenticate")) == 1


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Authorization": "Bearer nonsense"}, "is invalid"),
        ({"Authorization": "Basic cmVhZGVyOnNlY3JldA=="}, "is invalid"),
        ({"X-API-Key": "bw_unknown"}, "is invalid"),
        ({"X-API-Key": "bw_x", "Authorization": "Bearer x"}, "both"),
        ({"Authorization": "Bearer " + "x" * 6000}, "is invalid"),
    ],
)
def test_rejected_credential_has_a_reason(gateway: Any, headers: dict[str, str], expected: str) -> None:
    response = gateway.get("/api/v1/books", headers=headers)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == 'Bearer realm="bookwheel", error="invalid_token"'
    assert expected in response.json()["detail"]


def test_changed_token_is_rejected_while_the_valid_token_is_cached(gateway: Any, token: str) -> None:
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


def test_api_key_works_in_both_headers_and_is_rejected_soon_after_revocation(gateway: Any, services: Any) -> None:
    login = services.login("keys@example.com")["access_token"]
    api_key = gateway.request("POST", "/api/v1/auth/keys", login, json={"name": "laptop"}).json()
    by_header = gateway.get("/api/v1/books", headers={"X-API-Key": api_key["key"]})
    assert by_header.json()["claims"]["sub"] == _subject(login)
    assert api_key["key"] not in by_header.text
    assert gateway.get("/api/v1/books", api_key["key"]).status_code == 200
    assert gateway.request("DELETE", f"/api/v1/auth/keys/{api_key['id']}", login).status_code == 204
    wait_until(lambda: gateway.get("/api/v1/books", api_key["key"]).status_code == 401, seconds=6, what="a rejection")


def test_logout_takes_effect_within_the_cache_lifetime(gateway: Any, services: Any) -> None:
    login = services.login("leaving@example.com")["access_token"]
    assert gateway.get("/api/v1/books", login).status_code == 200
    started = time.monotonic()
    assert gateway.request("POST", "/api/v1/auth/logout", login).status_code == 204
    wait_until(lambda: gateway.get("/api/v1/books", login).status_code == 401, seconds=6, what="a rejection")
    assert time.monotonic() - started < 5
    assert "revoked" in gateway.get("/api/v1/books", login).json()["detail"]


def test_valid_credential_is_cached(gateway: Any, services: Any) -> None:
    login = services.login("busy@example.com")["access_token"]
    internal = {_headers(gateway.get(f"/api/v1/books?n={number}", login))["authorization"] for number in range(20)}
    assert len(internal) <= 2, "the cached internal token is reused, except at its expiry"


def test_request_body_is_not_read_as_the_next_credential_check(gateway: Any, token: str) -> None:
    body = b"GET /verify HTTP/1.1\r\nHost: a\r\n\r\n"
    for number in range(6):
        rejected = gateway.request("POST", "/api/v1/books", f"nonsense{number}", content=body)
        assert rejected.status_code == 401
        chunked = gateway.request("POST", "/api/v1/books", f"nonsense{number}x", content=iter([body]))
        assert chunked.status_code == 401
        assert gateway.get("/api/v1/auth/me", token).json()["email"] == "reader@example.com"


def test_users_do_not_share_cached_credentials(gateway: Any, services: Any) -> None:
    logins = [services.login(f"user{number}@example.com")["access_token"] for number in range(3)]
    for _ in range(3):
        for login in logins:
            assert gateway.get("/api/v1/books", login).json()["claims"]["sub"] == _subject(login)


def test_unavailable_credential_check_returns_503(start_gateway: Any, token: str) -> None:
    gateway = start_gateway(ACCOUNTS_ADDRESS=f"127.0.0.1:{free_port()}")
    for credential in (token, None):
        response = gateway.get("/api/v1/books", credential)
        assert (response.status_code, response.json()["code"]) == (503, "unavailable")
        assert response.headers["retry-after"] == "1"


def test_internal_locations_are_not_public(gateway: Any, token: str) -> None:
    for path in ("/_verify", "/verify", "/_problem/401", "/suite/readyz"):
        assert gateway.get(path, token).status_code == 404
