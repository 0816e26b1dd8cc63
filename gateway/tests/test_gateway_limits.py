"""Limits per address before the credential is checked, per subject after it, and on logins."""

import time
from collections import Counter
from typing import Any

import httpx


def _statuses(gateway: Any, path: str, count: int, method: str = "GET", **options: Any) -> "Counter[int]":
    with httpx.Client(base_url=gateway.url, timeout=30) as client:
        return Counter(client.request(method, path, **options).status_code for _ in range(count))


def _fits(passed: int, burst: int, rate: float, started: float) -> bool:
    """Whether so many passed as the limit lets through in the time since `started`: on a busy machine that is long."""
    return burst <= passed <= burst + 2 + rate * (time.monotonic() - started)


def test_an_address_is_limited_before_its_credential_is_checked(start_gateway: Any, token: str) -> None:
    gateway = start_gateway(RATE_ADDRESS="1", BURST_ADDRESS="9")
    good = {"Authorization": f"Bearer {token}"}
    started = time.monotonic()
    counted = _statuses(gateway, "/api/v1/books", 30, headers={"Authorization": "Bearer nonsense"})
    assert set(counted) == {401, 429}
    assert _fits(counted[401], 9, 1, started)
    assert _statuses(gateway, "/api/v1/books", 5, headers=good)[429] >= 3, "a good token is no way around it"


def test_clients_behind_a_trusted_proxy_are_limited_each_by_its_own_address(start_gateway: Any) -> None:
    trusting = start_gateway(RATE_ADDRESS="1", BURST_ADDRESS="9", TRUSTED_PROXIES="127.0.0.0/8")
    for address in ("203.0.113.1", "203.0.113.2"):
        # What the client itself wrote stands before the address that the proxy saw.
        forwarded = {"X-Forwarded-For": f"198.51.100.9, {address}"}
        counted = _statuses(trusting, "/api/v1/books", 30, headers=forwarded)
        assert counted[401] >= 9
        assert counted[429] >= 1
    trusting_nobody = start_gateway(RATE_ADDRESS="1", BURST_ADDRESS="9")
    claimed = [trusting_nobody.get("/api/v1/books", headers={"X-Forwarded-For": f"203.0.113.{n}"}) for n in range(30)]
    assert 429 in {answer.status_code for answer in claimed}


def test_a_subject_is_limited_after_the_check_and_others_are_not(start_gateway: Any, services: Any) -> None:
    gateway = start_gateway(RATE_SUBJECT="1", BURST_SUBJECT="9")
    eager, other = (services.login(f"{name}@example.com")["access_token"] for name in ("eager", "other"))
    started = time.monotonic()
    counted = _statuses(gateway, "/api/v1/books", 30, headers={"Authorization": f"Bearer {eager}"})
    assert set(counted) == {200, 429}
    assert _fits(counted[200], 9, 1, started)
    assert _statuses(gateway, "/api/v1/books", 5, headers={"Authorization": f"Bearer {other}"}) == {200: 5}


def test_a_users_keys_and_tokens_count_as_one_subject(start_gateway: Any, services: Any) -> None:
    gateway = start_gateway(RATE_SUBJECT="1", BURST_SUBJECT="9")
    login = services.login("many@example.com")["access_token"]
    key = gateway.request("POST", "/api/v1/auth/keys", login, json={"name": "more"}).json()["key"]
    _statuses(gateway, "/api/v1/books", 20, headers={"Authorization": f"Bearer {login}"})
    counted = _statuses(gateway, "/api/v1/books", 5, headers={"X-API-Key": key})
    assert counted[429] >= 3


def test_a_claimed_subject_is_not_the_one_that_counts(start_gateway: Any, services: Any) -> None:
    gateway = start_gateway(RATE_SUBJECT="1", BURST_SUBJECT="4")
    login = services.login("claims@example.com")["access_token"]
    statuses = [
        gateway.get("/api/v1/books", login, headers={"X-Subject": f"usr_{number}"}).status_code for number in range(12)
    ]
    assert statuses.count(429) >= 5


def test_logins_are_limited_tightly_and_nothing_else_is(start_gateway: Any, token: str) -> None:
    gateway = start_gateway(RATE_LOGIN="6", BURST_LOGIN="3")
    body = {"email": "not an address", "password": "wrong wrong wrong"}
    started = time.monotonic()
    counted = _statuses(gateway, "/api/v1/auth/login", 10, method="POST", json=body)
    assert set(counted) == {401, 429}
    assert _fits(counted[401], 3, 0.1, started)
    for path in ("/api/v1/auth/register", "/api/v1/oauth/token"):
        answer = gateway.request("POST", path, json=body)
        assert answer.status_code == 429, "they share the limit"
        assert answer.headers["ratelimit-policy"] == '"login";q=6;w=60'
        assert answer.headers["retry-after"] == "5"
    assert gateway.get("/api/v1/books", token).status_code == 200


def test_who_waits_as_told_gets_through(start_gateway: Any, services: Any) -> None:
    gateway = start_gateway(RATE_SUBJECT="1", BURST_SUBJECT="1")
    login = services.login("patient@example.com")["access_token"]
    answers = [gateway.get("/api/v1/books", login) for _ in range(10)]
    refused = next(answer for answer in answers if answer.status_code == 429)
    problem = refused.json()
    assert (problem["status"], problem["code"]) == (429, "rate_limited")
    assert refused.headers.get_list("ratelimit-policy") == ['"address";q=200;w=1, "subject";q=1;w=1']
    time.sleep(int(refused.headers["retry-after"]))
    assert gateway.get("/api/v1/books", login).status_code == 200


def test_a_services_own_429_passes_as_it_is(gateway: Any, token: str) -> None:
    answer = gateway.get("/api/v1/books?status=429", token)
    assert answer.headers.get_list("retry-after") == ["77"]
    assert answer.json()["service"] == "catalog"
