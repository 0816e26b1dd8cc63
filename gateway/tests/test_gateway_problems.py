"""Tests of the gateway's problems, and of the headers of all responses."""

import re
import socket
import time
from pathlib import Path
from typing import Any

import pytest
from bookwheel_accounts import gateway_problems
from bookwheel_contracts import Problem, problems
from bookwheel_testing.servers import free_port

SOURCE = Path(__file__).resolve().parents[1]
TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_problem_pages_match_the_declared_problems() -> None:
    declared = {
        kind.code: kind
        for module in (problems, gateway_problems)
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, problems.BookwheelError)
    }
    pages = re.findall(r"return (\d+) '(.+)';", (SOURCE / "conf.d" / "problems.conf").read_text())
    assert len(pages) == 14
    for status, body in pages:
        page = Problem.model_validate_json(body)
        kind = declared[page.code]
        assert (page.status, page.title, page.type) == (int(status), kind.title, f"/docs/problems#{page.code}")
        assert page.status == kind.status


@pytest.mark.parametrize(
    ("request_line", "options", "status", "code"),
    [
        ("GET /nope", {}, 404, "not_found"),
        ("GET /index.html", {}, 404, "not_found"),
        ("POST /", {}, 405, "method_not_allowed"),
        ("TRACE /api/v1/books", {}, 405, "method_not_allowed"),
        ("POST /api/v1/books", {"content": b"x" * 1_100_000}, 413, "payload_too_large"),
        ("POST /api/v1/ml/predictions", {"content": b"x" * 5_300_000}, 413, "payload_too_large"),
        ("POST /api/v1/auth/login", {"content": b"x" * 20_000}, 413, "payload_too_large"),
        ("GET /" + "x" * 9000, {}, 414, "uri_too_long"),
        ("GET /", {"headers": {"X-Long": "x" * 9000}}, 431, "headers_too_large"),
        ("GET /api/v1/books?status=500", {}, 500, None),
    ],
)
def test_gateway_errors_are_problems(
    gateway: Any, token: str, request_line: str, options: dict[str, Any], status: int, code: str | None
) -> None:
    method, path = request_line.split()
    response = gateway.request(method, path, token, **options)
    assert response.status_code == status
    assert response.headers["content-type"] == "application/problem+json"
    if code is None:
        assert response.json()["service"] == "catalog", "the response of a service is forwarded"
        return
    problem = Problem.model_validate(response.json())
    assert (problem.status, problem.code) == (status, code)
    assert problem.trace_id == response.headers["x-request-id"]
    assert problem.trace_id in response.headers["traceparent"]


def test_bodies_within_the_limits_are_accepted(gateway: Any, token: str) -> None:
    for path, size in (("/api/v1/books", 1_000_000), ("/api/v1/ml/predictions", 5_000_000)):
        assert gateway.request("POST", path, token, content=b"x" * size).json()["body_length"] == size


def test_chunked_body_is_limited(gateway: Any, token: str) -> None:
    def chunks(count: int) -> Any:
        return (b"x" * 65536 for _ in range(count))

    assert gateway.request("POST", "/api/v1/books", token, content=chunks(4)).json()["body_length"] == 4 * 65536
    assert gateway.request("POST", "/api/v1/books", token, content=chunks(40)).status_code == 413


def test_slow_service_returns_504_and_unavailable_service_502(start_gateway: Any, token: str) -> None:
    slow = start_gateway(SERVICE_TIMEOUT="1").get("/api/v1/books?wait=5", token)
    assert (slow.status_code, slow.json()["code"]) == (504, "gateway_timeout")
    assert slow.headers.get_list("retry-after") == ["1"]
    unavailable = start_gateway(CATALOG_ADDRESS=f"127.0.0.1:{free_port()}").get("/api/v1/books", token)
    assert (unavailable.status_code, unavailable.json()["code"]) == (502, "bad_gateway")
    assert unavailable.json()["trace_id"] == unavailable.headers["x-request-id"]


def test_slow_request_body_times_out(start_gateway: Any) -> None:
    gateway = start_gateway(CLIENT_TIMEOUT="1")
    head = b"POST /api/v1/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{"
    started = time.monotonic()
    assert b"200" not in gateway.raw(head)
    assert time.monotonic() - started < 6


def test_every_response_has_each_security_header_once(gateway: Any, token: str) -> None:
    for path in (
        "/",
        "/docs",
        "/nope",
        "/livez",
        "/api/v1/books",
        "/api/v1/books?status=404",
        "/.well-known/jwks.json",
    ):
        for credential in (token, None):
            response = gateway.get(path, credential)
            for name in (
                "x-content-type-options",
                "referrer-policy",
                "content-security-policy",
                "traceparent",
                "server",
            ):
                assert len(response.headers.get_list(name)) == 1, (path, name)
            assert response.headers["server"] == "nginx"
            assert response.headers["x-content-type-options"] == "nosniff"
            html = response.headers["content-type"].startswith("text/html")
            policy = response.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'")
            assert ("script-src 'self'" in policy) == html
            assert "strict-transport-security" not in response.headers, "the test has no TLS"


def test_www_authenticate_of_a_service_is_not_repeated(gateway: Any, token: str) -> None:
    response = gateway.get("/api/v1/books?status=401", token)
    assert response.headers.get_list("www-authenticate") == ['Bearer realm="echo"']


def test_trace_id_is_passed_to_the_service_and_logged(gateway: Any, token: str) -> None:
    inbound = f"00-{TRACE}-b7ad6b7169203331-01"
    response = gateway.get("/api/v1/books", token, headers={"traceparent": inbound})
    assert dict(response.json()["headers"])["traceparent"] == inbound
    assert response.headers["x-request-id"] == TRACE
    line = gateway.log(until=lambda line: line["trace_id"] == TRACE)[-1]
    assert (line["path"], line["status"], line["service"]) == ("/api/v1/books", 200, "gateway")
    assert str(line["subject"]).startswith("usr_")


@pytest.mark.parametrize(
    "inbound",
    [
        "",
        "garbage",
        f"00-{TRACE}-b7ad6b7169203331",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{TRACE}-b7ad6b7169203331-01-x",
        '"}\\u0000',
    ],
)
def test_a_malformed_traceparent_starts_a_new_trace(gateway: Any, token: str, inbound: str) -> None:
    response = gateway.get("/api/v1/books", token, headers={"traceparent": inbound})
    forwarded = dict(response.json()["headers"])["traceparent"]
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", forwarded)
    assert TRACE not in forwarded


def test_log_of_hostile_requests_is_valid_json(start_gateway: Any) -> None:
    gateway = start_gateway()  # with its own log
    gateway.raw(b'GET /"quote"\\x?secret=1 HTTP/1.1\r\nHost: x\r\nUser-Agent: "\x01\r\nConnection: close\r\n\r\n')
    gateway.request("POST", "/api/v1/auth/login", content=b"x" * 20_000)
    gateway.raw(b"\x16\x03\x01 nonsense\r\n\r\n")
    lines = gateway.log(until=lambda line: line["status"] == 400 and not line["path"])
    assert [(line["method"], line["path"], line["status"]) for line in lines[-3:]] == [
        ("GET", '/"quote"\\x', 400),
        ("POST", "/api/v1/auth/login", 413),
        ("", "", 400),
    ]
    assert all("secret" not in str(line) for line in lines)
    assert {"time", "service", "level", "event", "method", "path", "status", "seconds", "trace_id"} <= set(lines[-1])


def test_large_responses_are_compressed(gateway: Any, token: str) -> None:
    plain = gateway.get("/api/v1/books?size=5000", token, headers={"Accept-Encoding": "identity"})
    compressed = gateway.get("/api/v1/books?size=5000", token, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in plain.headers
    assert compressed.headers["content-encoding"] == "gzip"
    assert compressed.headers.get_list("vary") == ["Accept-Encoding"]
    assert len(compressed.json()["padding"]) == 5000


def test_downloads_are_not_compressed(gateway: Any, token: str) -> None:
    response = gateway.get("/api/v1/exports/csv/1/books.csv?size=5000", token, headers={"Accept-Encoding": "gzip"})
    assert "content-encoding" not in response.headers
    assert (response.json()["service"], response.json()["path"]) == ("catalog", "/api/v1/exports/csv/1/books.csv")
    for path in ("/api/v1/exports", "/api/v1/exports/1..2", "/api/v1/exports/1"):
        assert gateway.get(path, token).json()["path"] == path


def test_downloads_are_not_buffered_in_files(gateway: Any, token: str) -> None:
    head = f"Host: x\r\nConnection: close\r\nAuthorization: Bearer {token}"
    request = f"GET /api/v1/exports/1..2?size=60000000 HTTP/1.1\r\n{head}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=30) as slow:
        slow.sendall(request.encode())
        received = bytearray(slow.recv(65536))
        assert received.startswith(b"HTTP/1.1 200")
        time.sleep(2)  # time to read the whole response from the service
        buffered = buffered_bytes(gateway.server.process.pid)
        while piece := slow.recv(1 << 20):
            received += piece
    assert buffered == 0
    assert received.count(b"x") >= 60_000_000


def buffered_bytes(master: int) -> int:
    """Returns the size of the open temporary files with proxied responses. They are already unlinked."""
    children = Path(f"/proc/{master}/task/{master}/children").read_text().split()
    open_files = [link for pid in children for link in Path(f"/proc/{pid}/fd").iterdir()]
    return sum(link.stat().st_size for link in open_files if "/nginx-proxy/" in str(link.readlink()))


def test_large_response_is_complete(gateway: Any, token: str) -> None:
    assert len(gateway.get("/api/v1/books?size=8000000", token).json()["padding"]) == 8_000_000
