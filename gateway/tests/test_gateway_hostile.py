"""Requests that no honest client sends."""

import socket
from typing import Any

import pytest


def _status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/v1/../books", 400),
        ("/api/v1/auth/login/../../books", 400),
        ("/api/v1/auth/login/%2e%2e/me", 400),
        ("/api/v1/auth/login/.%2e/me", 400),
        ("/api/v1/auth/login%2f..%2fme", 400),
        ("/api/v1/./books", 400),
        ("/..", 400),
        ("/../../etc/passwd", 400),
        ("/docs/..%5c..%5cbooks", 400),
        ("/docs/a\\b", 400),
        ("/api/v1/books/%00", 400),
        ("/api/v1/books%0d%0aX-Subject:%20usr_admin", 400),
        ("/api/v1/books%7f", 400),
        ("//api/v1/books", 404),
        ("/api//v1/books", 404),
        ("/API/v1/books", 404),
        ("/api/v1", 404),
        ("/api/v1/", 401),
        ("/api/v1/books/a%2Fb", 401),
        ("/api/v1/auth/login/", 401),
        ("/api/v1/auth/loginx", 401),
        ("/api/v1/auth/login;x", 401),
        ("/docs/assets/../../verify", 400),
        ("/docs/assets/__init__.py", 404),
        ("/.git/config", 404),
    ],
)
def test_no_spelling_of_a_path_leads_around_the_check(gateway: Any, path: str, status: int) -> None:
    answer = gateway.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert _status(answer) == status
    assert b"application/problem+json" in answer


@pytest.mark.parametrize(
    "path", ["/api/v1/books/a%2Fb%20c", "/api/v1/books/isbn:9780000000002?q=../x", "/api/v1/books/%C3%A9..x"]
)
def test_an_odd_but_honest_path_reaches_the_service_as_it_was_written(gateway: Any, token: str, path: str) -> None:
    assert gateway.get(path, token).json()["path"] == path.partition("?")[0]


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /livez HTTP/1.1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost : a\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /livez HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n",
        b"GET /livez HTTP/1.1\r\nHost: a\r\nX: a\x00b\r\n\r\n",
        b"GET /api/v1/books HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer a\r\nAuthorization: Bearer b\r\n\r\n",
    ],
)
def test_a_malformed_request_is_refused(gateway: Any, request_bytes: bytes) -> None:
    answer = gateway.raw(request_bytes)
    assert _status(answer) == 400
    assert b'"code":"invalid_request"' in answer


def test_an_unknown_transfer_encoding_is_refused(gateway: Any) -> None:
    answer = gateway.raw(b"POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    assert _status(answer) == 501


def test_a_second_request_hidden_in_a_body_stays_a_body(gateway: Any, token: str) -> None:
    hidden = b"GET /api/v1/ml/hidden HTTP/1.1\r\nHost: a\r\nX-Subject: usr_admin\r\n\r\n"
    head = f"POST /api/v1/books HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
    answer = gateway.raw(head.encode() + f"Content-Length: {len(hidden)}\r\n\r\n".encode() + hidden)
    assert answer.count(b"HTTP/1.1 ") == 1
    assert f'"body_length": {len(hidden)}'.encode() in answer


def test_http_1_0_without_a_host_is_served(gateway: Any, token: str) -> None:
    answer = gateway.raw(f"GET /api/v1/books HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    assert _status(answer) == 200
    assert b'"host", "bookwheel"' in answer


def test_the_keys_of_two_requests_are_not_mixed_up_by_a_separator(gateway: Any, token: str) -> None:
    assert gateway.get("/api/v1/books", token).status_code == 200
    for headers in (
        {"Authorization": f"Bearer {token}", "X-API-Key": "|"},
        {"Authorization": f"Bearer {token}|"},
        {"X-API-Key": f"Bearer {token}"},
        {"Authorization": "|", "X-API-Key": f"Bearer {token}"},
    ):
        assert gateway.get("/api/v1/books", headers=headers).status_code == 401


def test_many_idle_connections_of_one_client_do_not_shut_others_out(gateway: Any, token: str) -> None:
    idle = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(200)]
    try:
        for connection in idle:
            connection.sendall(b"GET /api/v1/bo")
        assert gateway.get("/api/v1/books", token).status_code == 200
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "[::1]"])
def test_the_host_is_only_a_name(gateway: Any, token: str, host: str) -> None:
    assert gateway.get("/api/v1/books", token, headers={"Host": host}).json()["service"] == "catalog"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_no_method_leads_around_the_check(gateway: Any, token: str, method: str) -> None:
    assert gateway.request(method, "/api/v1/books").status_code == 401
    answer = gateway.request(method, "/api/v1/books", token)
    assert answer.status_code == 200
    assert method == "HEAD" or answer.json()["method"] == method
