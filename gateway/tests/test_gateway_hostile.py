"""Tests of hostile requests."""

import socket
from typing import Any

import pytest


def _status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


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
def test_path_variants_do_not_bypass_the_credential_check(gateway: Any, path: str, status: int) -> None:
    response = gateway.raw(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    assert _status(response) == status
    assert b"application/problem+json" in response


@pytest.mark.parametrize(
    "path", ["/api/v1/books/a%2Fb%20c", "/api/v1/books/isbn:9780000000002?q=../x", "/api/v1/books/%C3%A9..x"]
)
def test_unusual_valid_path_is_forwarded_unchanged(gateway: Any, token: str, path: str) -> None:
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
def test_malformed_request_is_rejected(gateway: Any, request_bytes: bytes) -> None:
    response = gateway.raw(request_bytes)
    assert _status(response) == 400
    assert b'"code":"invalid_request"' in response


def test_unknown_transfer_encoding_is_rejected(gateway: Any) -> None:
    response = gateway.raw(b"POST /livez HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
    assert _status(response) == 501


def test_request_in_a_body_is_not_executed(gateway: Any, token: str) -> None:
    hidden = b"GET /api/v1/ml/hidden HTTP/1.1\r\nHost: a\r\nX-Subject: usr_admin\r\n\r\n"
    head = f"POST /api/v1/books HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n"
    response = gateway.raw(head.encode() + f"Content-Length: {len(hidden)}\r\n\r\n".encode() + hidden)
    assert response.count(b"HTTP/1.1 ") == 1
    assert f'"body_length": {len(hidden)}'.encode() in response


def test_http_1_0_without_a_host_is_served(gateway: Any, token: str) -> None:
    response = gateway.raw(f"GET /api/v1/books HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
    assert _status(response) == 200
    assert b'"host", "bookwheel"' in response


def test_cache_keys_of_different_credentials_differ(gateway: Any, token: str) -> None:
    assert gateway.get("/api/v1/books", token).status_code == 200
    for headers in (
        {"Authorization": f"Bearer {token}", "X-API-Key": "|"},
        {"Authorization": f"Bearer {token}|"},
        {"X-API-Key": f"Bearer {token}"},
        {"Authorization": "|", "X-API-Key": f"Bearer {token}"},
    ):
        assert gateway.get("/api/v1/books", headers=headers).status_code == 401


def test_idle_connections_do_not_block_other_clients(gateway: Any, token: str) -> None:
    idle = [socket.create_connection(("127.0.0.1", gateway.port)) for _ in range(200)]
    try:
        for connection in idle:
            connection.sendall(b"GET /api/v1/bo")
        assert gateway.get("/api/v1/books", token).status_code == 200
    finally:
        for connection in idle:
            connection.close()


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1:1", "[::1]"])
def test_host_header_does_not_change_the_route(gateway: Any, token: str, host: str) -> None:
    assert gateway.get("/api/v1/books", token, headers={"Host": host}).json()["service"] == "catalog"


@pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "DELETE"])
def test_every_method_requires_a_credential(gateway: Any, token: str, method: str) -> None:
    assert gateway.request(method, "/api/v1/books").status_code == 401
    response = gateway.request(method, "/api/v1/books", token)
    assert response.status_code == 200
    assert method == "HEAD" or response.json()["method"] == method
