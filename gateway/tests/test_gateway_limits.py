"""Tests of the limits per address, per subject and for logins."""

import time
from collections import Counter
from typing import Any

import httpx


def _statuses(gateway: Any, path: str, count: int, method: str = "GET", **options: Any) -> "Counter[int]":
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        return Counter(client.request(method, path, **options).status_code for _ in range(count))


def _is_within_limit(passed: int, burst: int, rate: float, started: float) -> bool:
    """Returns True if the limit allows this number of requests in the time since `started`."""
    return burst <= passed <= burst + 2 + rate * (time.monotonic() - started)


def test_requests_of_an_address_are_limited_before_the_credential_check(start_gateway: Any, token: str) -> None:
    gateway = start_gateway(RATE_ADDRESS="1", BURST_ADDRESS="9")
    good = {"Authorization": f"Bearer {token}"}
    started = time.monotonic()
    counted = _statuses(gateway, "/api/v1/books", 30, headers={"Authorization": "Bearer nonsense"})
    assert set(counted) == {401, 429}
    assert _is_within_limit(counted[401], 9, 1, started)
    assert _statuses(gateway, "/api/v1/books", 5, headers=good)[429] >= 3, "a valid token does not bypass the limit"


def test_clients_of_a_trusted_proxy_are_limited_by_their_own_addresses(start_gateway: Any) -> None:
    with_proxy = start_gateway(RATE_ADDRESS="1", BURST_ADDRESS="9", TRUSTED_PROXIES="127.0.0.0/8")
    for address in ("203.0.113.1", "203.0.113.2"):
        # The client sent the first address, the proxy added the second.
        forwarded = {"X-Forwarded-For": f"198.51.100.9, {address}"}
        counted = _statuses(with_proxy, "/api/v1/books", 30, headers=forwarded)
        assert counted[401] >= 9
        assert counted[429] >= 1
    without_proxies = start_gateway(RATE_ADDRESS="1", BURST_ADDRESS="9")
    responses = [without_proxies.get("/api/v1/books", headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(30)]
    assert 429 in {response.status_code for response in responses}


def test_requests_of_a_subject_are_limited_after_the_credential_check(start_gateway: Any, services: Any) -> None:
    gateway = start_gateway(RATE_SUBJECT="1", BURST_SUBJECT="9")
    eager, other = (services.login(f"{name}@example.com")["access_token"] for name in ("eager", "other"))
    started = time.monotonic()
    counted = _statuses(gateway, "/api/v1/books", 30, headers={"Authorization": f"Bearer {eager}"})
    assert set(counted) == {200, 429}
    assert _is_within_limit(counted[200], 9, 1, started)
    assert _statuses(gateway, "/api/v1/books", 5, headers={"Authorization": f"Bearer {other}"}) == {200: 5}


def test_keys_and_tokens_of_a_user_share_one_limit(start_gateway: Any, services: Any) -> None:
    gateway = start_gateway(RATE_SUBJECT="1", BURST_SUBJECT="9")
    login = services.login("many@example.com")["access_token"]
    key = gateway.request("POST", "/api/v1/auth/keys", login, json={"name": "more"}).json()["key"]
    _statuses(gateway, "/api/v1/books", 20, headers={"Authorization": f"Bearer {login}"})
    counted = _statuses(gateway, "/api/v1/books", 5, headers={"X-API-Key": key})
    assert counted[429] >= 3


def test_subject_header_of_a_client_does_not_affect_the_limit(start_gateway: Any, services: Any) -> None:
    gateway = start_gateway(RATE_SUBJECT="1", BURST_SUBJECT="4")
    login = services.login("claims@example.com")["access_token"]
    statuses = [
        gateway.get("/api/v1/books", login, headers={"X-Subject": f"usr_{number}"}).status_code for number in range(12)
    ]
    assert statuses.count(429) >= 5


def test_logins_have_a_lower_limit(start_gateway: Any, token: str) -> None:
    gateway = start_gateway(RATE_LOGIN="6", BURST_LOGIN="3")
    body = {"email": "not an address", "password": "wrong wrong wrong"}
    started = time.monotonic()
    counted = _statuses(gateway, "/api/v1/auth/login", 10, method="POST", json=body)
    assert set(counted) == {401, 429}
    assert _is_within_limit(counted[401], 3, 0.1, started)
    for path in ("/api/v1/auth/register", "/api/v1/oauth/token"):
        response = gateway.request("POST", path, json=body)
        assert response.status_code == 429, "all login routes share the limit"
        assert response.headers["ratelimit-policy"] == '"login";q=6;w=60'
        assert response.headers["retry-after"] == "5"
    assert gateway.get("/api/v1/books", token).status_code == 200


def test_request_succeeds_after_retry_after(start_gateway: Any, services: Any) -> None:
    gateway = start_gateway(RATE_SUBJECT="1", BURST_SUBJECT="1")
    login = services.login("patient@example.com")["access_token"]
    responses = [gateway.get("/api/v1/books", login) for _ in range(10)]
    rejected = next(response for response in responses if response.status_code == 429)
    problem = rejected.json()
    assert (problem["status"], problem["code"]) == (429, "rate_limited")
    assert rejected.headers.get_list("ratelimit-policy") == ['"address";q=200;w=1, "subject";q=1;w=1']
    time.sleep(int(rejected.headers["retry-after"]))
    assert gateway.get("/api/v1/books", login).status_code == 200


def test_429_of_a_service_is_forwarded_unchanged(gateway: Any, token: str) -> None:
    response = gateway.get("/api/v1/books?status=429", token)
    assert response.headers.get_list("retry-after") == ["77"]
    assert response.json()["service"] == "catalog"
