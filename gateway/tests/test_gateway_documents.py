"""Tests of the public routes: home page, API documents, health, public keys."""

import re
from typing import Any

from bookwheel_testing.servers import free_port


def test_links_of_the_home_page_work(gateway: Any) -> None:
    page = gateway.get("/")
    assert page.headers["content-type"].startswith("text/html")
    for link in re.findall(r'href="([^"]+)"', page.text):
        assert gateway.get(link).status_code in {200, 503}, link
    assert not re.search(r"(src|href)=\"(https?:)?//", page.text)


def test_docs_load_no_third_party_assets(gateway: Any) -> None:
    page = gateway.get("/docs")
    assets = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(assets) == 4
    for asset in assets:
        assert asset.startswith("/docs/")
        assert gateway.get(asset).status_code == 200
    assert "<script>" not in page.text, "the policy forbids inline scripts"
    assert '"/openapi.json"' in gateway.get("/docs/start.js").text


def test_problems_page_has_an_anchor_for_each_code(gateway: Any) -> None:
    page = gateway.get("/docs/problems").text
    for code in ("unauthenticated", "rate_limited", "invalid_cursor", "bad_gateway", "headers_too_large"):
        assert f'id="{code}"' in page


def test_openapi_document_includes_accounts_while_other_services_are_unavailable(gateway: Any) -> None:
    document = gateway.get("/openapi.json").json()
    assert document["openapi"].startswith("3.1")
    assert {"/api/v1/auth/login", "/api/v1/auth/keys", "/api/v1/oauth/token"} <= set(document["paths"])
    assert not {"/verify", "/livez", "/suite/readyz"} & set(document["paths"])


def test_health_routes_are_public(gateway: Any, start_gateway: Any) -> None:
    assert gateway.get("/livez").json() == {"status": "alive"}
    ready = gateway.get("/readyz").json()
    assert set(ready["services"]) == {"accounts", "catalog-api", "ml-serving"}
    assert ready["services"]["accounts"] == {"status": "ready", "failing": []}
    alone = start_gateway(ACCOUNTS_ADDRESS=f"127.0.0.1:{free_port()}")
    assert alone.get("/livez").status_code == 200
    assert alone.get("/readyz").status_code == 502


def test_jwks_is_public(gateway: Any) -> None:
    assert gateway.get("/.well-known/jwks.json").json()["keys"][0]["alg"] == "ES256"
