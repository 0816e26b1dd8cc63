"""The suite's merged documents and readiness, and the commands."""

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


def test_schemas_of_one_name_and_two_meanings_are_told_apart() -> None:
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
    answer = merged["paths"]["/api/v1/b"]["get"]["responses"]["200"]
    assert answer["content"]["application/json"]["schema"]["$ref"].endswith("/second_Page")


def test_every_operation_tells_of_problems_and_none_of_the_frameworks_422() -> None:
    merged = merge_openapi({"one": _document({"/api/v1/a": _operation("A")}, {"A": {}, "HTTPValidationError": {}})})
    responses = merged["paths"]["/api/v1/a"]["get"]["responses"]
    assert set(responses) == {"200", "default"}
    assert "application/problem+json" in responses["default"]["content"]
    assert {"Problem", "FieldError"} <= set(merged["components"]["schemas"])
    assert "HTTPValidationError" not in merged["components"]["schemas"]


def test_only_public_paths_are_told_and_the_first_service_wins() -> None:
    first = _document({"/api/v1/a": _operation("A"), "/livez": _operation("A")}, {"A": {"title": "first"}})
    second = _document({"/api/v1/a": _operation("A")}, {"A": {"title": "first"}})
    merged = merge_openapi({"first": first, "second": second, "empty": {}})
    assert set(merged["paths"]) == {"/api/v1/a"}


@contextmanager
def _answering(status: int, body: Any) -> Iterator[str]:
    """The address of a server that says this to everything."""

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
    ("status", "body", "says"),
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
async def test_readiness_names_what_fails_and_keeps_the_reason_in_the_house(
    status: int, body: Any, says: dict[str, Any]
) -> None:
    with _answering(status, body) as url:
        async with httpx.AsyncClient() as client:
            assert await SuiteOverview({"one": url}, client).get_readiness() == {"one": says}


@pytest.mark.parametrize("body", ["odd", [], None])
async def test_a_document_that_is_none_is_left_out(body: Any) -> None:
    own = _document({"/api/v1/a": _operation("A")}, {})
    with _answering(200, body) as url:
        async with httpx.AsyncClient() as client:
            merged = await SuiteOverview({"one": url}, client).get_openapi(own)
    assert set(merged["paths"]) == {"/api/v1/a"}


async def test_services_that_are_away_are_said_to_be(accounts: Any) -> None:
    answer = await accounts.http.get("/suite/readyz")
    assert answer.status_code == 503
    assert answer.json()["services"]["ml-serving"] == {"status": "away", "failing": []}
    assert (await accounts.http.get("/readyz")).json() == {"status": "ready", "checks": {"database": "ok"}}


async def test_the_documentation_serves_its_own_files_and_no_others(accounts: Any) -> None:
    assert (await accounts.http.get("/docs/assets/swagger-ui.css")).headers["content-type"].startswith("text/css")
    for name in ("main.py", "__init__.py", "..%2fmain.py", "%2e%2e"):
        assert (await accounts.http.get(f"/docs/assets/{name}")).status_code == 404


def _run(folder: Path, *arguments: str, given: str | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {
        **os.environ,
        "BOOKWHEEL_DATABASE_URL": f"sqlite:///{folder}/bookwheel.sqlite",
        "BOOKWHEEL_SIGNING_KEY_FILE": str(folder / "keys"),
    }
    return subprocess.run(
        [COMMAND, *arguments], env=environment, input=given, capture_output=True, text=True, check=False
    )


def test_a_user_is_made_once_and_then_kept_to_what_the_command_says(tmp_path: Path) -> None:
    assert _run(tmp_path, "migrate").returncode == 0
    first = _run(
        tmp_path, "create-user", "Ops@Example.com", "--scopes", "catalog:read admin", given="turning wheels 7\n"
    )
    assert first.stdout.startswith("created ops@example.com usr_")
    (tmp_path / "password").write_text("turning wheels 8\n")
    again = _run(tmp_path, "create-user", "ops@example.com", "--password-file", str(tmp_path / "password"))
    assert again.stdout == first.stdout.replace("created", "updated")


def test_create_user_ends_logins_only_for_another_password(tmp_path: Path) -> None:
    engine = connect_database(f"sqlite:///{tmp_path}/bookwheel.sqlite")
    ACCOUNTS_SCHEMA.upgrade(engine)
    users, sessions = UserStore(engine), SessionStore(engine, timedelta(days=1))
    _run(tmp_path, "create-user", "ops@example.com", given="turning wheels 7\n")
    user = users.get_by_email("ops@example.com")
    assert user is not None
    identity, _ = sessions.create(user, user.scopes)

    _run(tmp_path, "create-user", "ops@example.com", "--scopes", "catalog:read", given="turning wheels 7\n")
    session = sessions.find_identity(str(identity.session_id))
    assert session is not None
    assert session[0].scopes == {Scope.CATALOG_READ}
    _run(tmp_path, "create-user", "ops@example.com", given="turning wheels 8\n")
    assert sessions.find_identity(str(identity.session_id)) is None
    engine.dispose()


@pytest.mark.parametrize(
    ("arguments", "given", "says"),
    [
        (["create-user", "ops@example.com"], "short", "at least 10"),
        (["create-user", "ops"], "turning wheels 7", "email"),
        (["create-user", "ops@example.com", "--scopes", "root"], "turning wheels 7", "scopes"),
        (["serve"], None, "keygen"),
    ],
)
def test_a_command_that_can_not_be_done_says_why(
    tmp_path: Path, arguments: list[str], given: str | None, says: str
) -> None:
    done = _run(tmp_path, *arguments, given=given)
    assert done.returncode != 0
    assert says in done.stderr
    assert "Traceback" not in done.stderr
