"""Tests of the merged OpenAPI document, the readiness and the commands."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from bookwheel_accounts.openapi_merge import merge_openapi
from bookwheel_accounts.sessions import SessionStore
from bookwheel_accounts.suite_overview import SuiteOverview
from bookwheel_accounts.tables import ACCOUNTS_SCHEMA
from bookwheel_accounts.users import UserStore
from bookwheel_contracts import Scope
from bookwheel_stores.records import connect_database

COMMAND = Path(sys.executable).with_name("bookwheel-accounts")


def _document(paths: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    return {"paths": paths, "components": {"schemas": schemas, "securitySchemes": {"bearer": {"type": "http"}}}}


def _operation(schema: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{schema}"}}}
    return {"get": {"responses": {"200": {"content": content}, "422": {"description": "Validation Error"}}}}


def test_different_schemas_of_the_same_name_get_a_prefix() -> None:
    first = _document({"/api/v1/a": _operation("Page")}, {"Page": {"type": "object"}, "Same": {"type": "string"}})
    second = _document(
        {"/api/v1/b": _operation("Page")},
        {"Page": {"type": "array", "items": {"$ref": "#/components/schemas/Page"}}, "Same": {"type": "string"}},
    )
    merged = merge_openapi({"first": first, "second": second})
    schemas = merged["components"]["schemas"]
    assert schemas["Page"] == {"type": "object"}
    assert schemas["second_Page"] == {"type": "array", "items": {"$ref": "#/components/schemas/second_Page"}}
    assert "second_Same" not in schemas
    response = merged["paths"]["/api/v1/b"]["get"]["responses"]["200"]
    assert response["content"]["application/json"]["schema"]["$ref"].endswith("/second_Page")


def test_operations_have_the_problem_response_instead_of_422() -> None:
    merged = merge_openapi({"service": _document({"/api/v1/a": _operation("A")}, {"A": {}, "HTTPValidationError": {}})})
    responses = merged["paths"]["/api/v1/a"]["get"]["responses"]
    assert set(responses) == {"200", "default"}
    assert "application/problem+json" in responses["default"]["content"]
    assert {"Problem", "FieldError"} <= set(merged["components"]["schemas"])
    assert "HTTPValidationError" not in merged["components"]["schemas"]


def test_merged_document_has_only_public_paths_and_prefers_the_first_service() -> None:
    first = _document({"/api/v1/a": _operation("A"), "/livez": _operation("A")}, {"A": {"title": "first"}})
    second = _document({"/api/v1/a": _operation("A")}, {"A": {"title": "first"}})
    merged = merge_openapi({"first": first, "second": second, "empty": {}})
    assert set(merged["paths"]) == {"/api/v1/a"}


@contextmanager
def _serving(status: int, body: Any) -> Iterator[str]:
    """Runs a server with this response to all requests. Yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base class's name
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (200, {"status": "ready", "checks": {"database": "ok"}}, {"status": "ready", "failing": []}),
        (
            503,
            {"status": "not ready", "checks": {"redis": "ConnectionError: redis://:secret@host", "index": "ok"}},
            {"status": "not ready", "failing": ["redis"]},
        ),
        (200, "odd", {"status": "ready", "failing": []}),
        (500, [], {"status": "not ready", "failing": []}),
    ],
)
async def test_readiness_names_failing_checks_without_reasons(status: int, body: Any, expected: dict[str, Any]) -> None:
    with _serving(status, body) as url:
        async with httpx.AsyncClient() as client:
            assert await SuiteOverview({"service": url}, client).get_readiness() == {"service": expected}


@pytest.mark.parametrize("body", ["odd", [], None])
async def test_invalid_document_is_omitted(body: Any) -> None:
    own = _document({"/api/v1/a": _operation("A")}, {})
    with _serving(200, body) as url:
        async with httpx.AsyncClient() as client:
            merged = await SuiteOverview({"service": url}, client).get_openapi(own)
    assert set(merged["paths"]) == {"/api/v1/a"}


async def test_readiness_reports_unavailable_services(accounts: Any) -> None:
    response = await accounts.http.get("/suite/readyz")
    assert response.status_code == 503
    assert response.json()["services"]["ml-serving"] == {"status": "away", "failing": []}
    assert (await accounts.http.get("/readyz")).json() == {"status": "ready", "checks": {"database": "ok"}}


async def test_documentation_serves_only_known_assets(accounts: Any) -> None:
    assert (await accounts.http.get("/docs/assets/swagger-ui.css")).headers["content-type"].startswith("text/css")
    for name in ("main.py", "__init__.py", "..%2fmain.py", "%2e%2e"):
        assert (await accounts.http.get(f"/docs/assets/{name}")).status_code == 404


def _run(folder: Path, *arguments: str, stdin: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        "BOOKWHEEL_DATABASE_URL": f"sqlite:///{folder}/bookwheel.sqlite",
        "BOOKWHEEL_SIGNING_KEY_FILE": str(folder / "keys"),
    }
    return subprocess.run(
        [COMMAND, *arguments], env=environment, input=stdin, capture_output=True, text=True, check=False
    )


def test_create_user_creates_and_then_updates(tmp_path: Path) -> None:
    assert _run(tmp_path, "migrate").returncode == 0
    first = _run(
        tmp_path, "create-user", "Ops@Example.com", "--scopes", "catalog:read admin", stdin="turning wheels 7\n"
    )
    assert first.stdout.startswith("created ops@example.com usr_")
    (tmp_path / "password").write_text("turning wheels 8\n")
    again = _run(tmp_path, "create-user", "ops@example.com", "--password-file", str(tmp_path / "password"))
    assert again.stdout == first.stdout.replace("created", "updated")


def test_create_user_ends_sessions_only_for_a_new_password(tmp_path: Path) -> None:
    engine = connect_database(f"sqlite:///{tmp_path}/bookwheel.sqlite")
    ACCOUNTS_SCHEMA.upgrade(engine)
    users, sessions = UserStore(engine), SessionStore(engine, timedelta(days=1))
    _run(tmp_path, "create-user", "ops@example.com", stdin="turning wheels 7\n")
    user = users.get_by_email("ops@example.com")
    assert user is not None
    identity, _ = sessions.create(user, user.scopes)

    _run(tmp_path, "create-user", "ops@example.com", "--scopes", "catalog:read", stdin="turning wheels 7\n")
    session = sessions.find_identity(str(identity.session_id))
    assert session is not None
    assert session[0].scopes == {Scope.CATALOG_READ}
    _run(tmp_path, "create-user", "ops@example.com", stdin="turning wheels 8\n")
    assert sessions.find_identity(str(identity.session_id)) is None
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "stdin", "expected"),
    [
        (["create-user", "ops@example.com"], "short", "at least 10"),
        (["create-user", "ops"], "turning wheels 7", "email"),
        (["create-user", "ops@example.com", "--scopes", "root"], "turning wheels 7", "scopes"),
        (["serve"], None, "keygen"),
    ],
)
def test_failed_command_prints_the_reason(
    tmp_path: Path, arguments: list[str], stdin: str | None, expected: str
) -> None:
    result = _run(tmp_path, *arguments, stdin=stdin)
    assert result.returncode != 0
    assert expected in result.stderr
    assert "Traceback" not in result.stderr
