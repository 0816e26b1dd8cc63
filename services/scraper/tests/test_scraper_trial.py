"""Tests of `bookwheel-scraper try-source` with a local site."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bookwheel_testing.shop_site import Site, product_page
from redis import Redis

BOOK = b"""<html><head><script type="application/ld+json">{"@type": "Book", "name": "Night Ferry", "isbn":
"9780306406157", "numberOfPages": "many", "offers": {"@type": "Offer", "price": "7.99", "priceCurrency": "GBP"}}
</script></head><body><h1>Night Ferry</h1></body></html>"""
BROKEN = b"""<html><script type="application/ld+json">{"@type": "Book", "name": "Night Ferry" oops "isbn"::: [}
</script><body></body></html>"""


def try_source(*arguments: str, environment: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).parent / "bookwheel-scraper"), "try-source", *arguments]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.fixture
def allowed(redis_url: str, tmp_path: Path) -> dict[str, str]:
    return {
        "BOOKWHEEL_REDIS_URL": redis_url,
        "BOOKWHEEL_SCRAPER_SOURCES_DIR": str(tmp_path),
        "BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES": "allow",
    }


def read_json(*arguments: str, environment: dict[str, str]) -> Any:
    result = try_source(*arguments, "--json", environment=environment)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_a_page_is_shown_with_its_fields_and_nothing_is_published(
    site: Site, allowed: dict[str, str], redis_url: str
) -> None:
    site.pages["/book"] = BOOK
    report = read_json(f"{site.url}book", environment=allowed)
    assert (report["source"], report["status"], report["outcome"]) == ("schema_org", 200, "book")
    assert report["syntaxes"] == ["json-ld"]
    assert any("Night Ferry" in entity for entity in report["entities"])
    assert report["choice"]
    (book,) = report["books"]
    assert book["fields"]["price"]["value"] == {"amount": "7.99", "currency": "GBP"}
    assert book["fields"]["title"] == {
        "value": "Night Ferry",
        "raw": ["Night Ferry"],
        "origin": book["fields"]["title"]["origin"],
    }
    assert book["fields"]["title"]["origin"].startswith("json-ld: ")
    assert [(fault["field"], fault["text"]) for fault in book["faults"]] == [("pages", "many")]
    assert sorted(site.hits) == ["/book", "/robots.txt"]
    with Redis.from_url(redis_url) as redis:
        assert redis.keys("*") == []


def test_the_text_names_choice_origins_and_faults(site: Site, allowed: dict[str, str]) -> None:
    site.pages["/book"] = BOOK
    result = try_source(f"{site.url}book", environment=allowed)
    assert result.returncode == 0, result.stderr
    for text in ("outcome   book", "choice    ", "syntaxes  json-ld", "from json-ld: ", "pages: ", "many"):
        assert text in result.stdout
    assert result.stderr == ""


def test_an_unreadable_page_has_a_reason_and_a_position(site: Site, allowed: dict[str, str]) -> None:
    site.pages["/broken"] = BROKEN
    report = read_json(f"{site.url}broken", environment=allowed)
    assert (report["outcome"], report["books"]) == ("unreadable", [])
    assert report["reason"]
    assert report["position"] == "JSON-LD block 1, line 1 of the page"


def test_the_spider_of_the_source_reads_the_page(site: Site, allowed: dict[str, str]) -> None:
    site.pages["/product"] = product_page(7, price="12.50")
    report = read_json(f"{site.url}product", "--source", "toscrape", environment=allowed)
    (book,) = report["books"]
    assert (book["key"], report["syntaxes"]) == ("u7", ["html"])
    assert book["fields"]["price"]["raw"] == ["£12.50"]
    assert book["fields"]["price"]["value"] == {"amount": "12.50", "currency": "GBP"}
    assert book["fields"]["rating"]["value"] == 4


@pytest.mark.parametrize("source", [None, "demo"])
def test_a_private_address_needs_the_setting(site: Site, allowed: dict[str, str], source: str | None) -> None:
    site.pages["/book"] = BOOK
    arguments = [f"{site.url}book", *(["--source", source] if source else [])]
    result = try_source(*arguments, environment=allowed | {"BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES": "deny"})
    assert (result.returncode, result.stdout) == (1, "")
    assert "set BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES=allow" in result.stderr
    assert not site.hits


def test_the_rules_of_a_crawl_apply(site: Site, allowed: dict[str, str]) -> None:
    site.pages["/robots.txt"] = b"User-agent: bookwheel\nDisallow: /private/\n"
    site.pages["/private/1"] = BOOK
    result = try_source(f"{site.url}private/1", environment=allowed)
    assert result.returncode == 1
    assert "robots.txt forbids" in result.stderr
    result = try_source(f"{site.url}missing", environment=allowed)
    assert result.returncode == 1
    assert "returned status 404" in result.stderr
    site.pages["/image"] = lambda exchange, _hits: exchange.answer(b"\x89PNG\r\n\x1a\n", Content_Type="image/png")
    result = try_source(f"{site.url}image", environment=allowed)
    assert result.returncode == 1
    assert "is not an HTML page: its content type is image/png" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["file:///etc/passwd"], ["no url"], ["http://shop.example/", "--source", "none"]]
)
def test_an_invalid_url_or_source_is_rejected(arguments: list[str], allowed: dict[str, str]) -> None:
    result = try_source(*arguments, environment=allowed)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr
