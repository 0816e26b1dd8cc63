"""Source declarations, their schedules, and the resolution of crawl requests."""

from datetime import UTC, datetime
from pathlib import Path

import pytest
from bookwheel_contracts.redis_keys import SOURCES_KEY
from bookwheel_scraper.crawl.run import InvalidCrawlRequestError, resolve_request
from bookwheel_scraper.crawl.scrapy_settings import scrapy_settings
from bookwheel_scraper.service.source_list import publish_sources
from bookwheel_scraper.settings import ScraperSettings
from bookwheel_scraper.sources.declarations import (
    DeclarationError,
    Source,
    get_site,
    load_sources,
    parse_declaration,
    spider_names,
)
from bookwheel_scraper.sources.schedules import parse_schedule
from bookwheel_testing.crawl_runner import crawl_request
from redis import Redis


def read(text: str) -> object:
    return parse_declaration(text, file="x.toml", variables={})


def test_built_in_sources_are_valid_and_use_the_demo_shop_setting() -> None:
    sources = load_sources(ScraperSettings(demo_shop_url="http://127.0.0.1:9999"))
    assert sorted(sources) == ["demo", "demo-schema", "schema_org", "toscrape"]
    assert sources["demo"].start_urls == ("http://127.0.0.1:9999/",)
    assert sources["demo-schema"].start_urls == ("http://127.0.0.1:9999/schema/",)
    assert sources["toscrape"].start_urls == ("https://books.toscrape.com/",)
    assert sources["schema_org"].requires_start_url


@pytest.mark.parametrize(
    ("expect", "word"),
    [("fill = { colour = 1.0 }", "colour"), ("share = 1.5", "share"), ("grace = 0", "grace"), ("least = 5", "least")],
)
def test_an_invalid_expectation_is_rejected(expect: str, word: str) -> None:
    text = 'name = "a"\ntitle = "A"\nspider = "toscrape"\n[expect]\n'
    with pytest.raises(DeclarationError, match=word):
        read(text + expect)


def test_only_the_demo_shop_is_crawled_without_politeness() -> None:
    settings = ScraperSettings()
    for source in load_sources(settings).values():
        options = scrapy_settings(source, settings)
        assert options["ROBOTSTXT_OBEY"]
        assert options["HTTPCACHE_ENABLED"] is False
        assert options["AUTOTHROTTLE_ENABLED"] is not source.name.startswith("demo")
        assert source.private_addresses is source.name.startswith("demo")


def test_the_operators_folder_adds_and_replaces_sources(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text('name = "mine"\ntitle = "Mine"\nspider = "schema_org"')
    (tmp_path / "demo.toml").write_text('name = "demo"\ntitle = "Another demo"\nspider = "toscrape"')
    sources = load_sources(ScraperSettings(scraper_sources_dir=tmp_path))
    assert sources["mine"].requires_start_url
    assert sources["demo"].title == "Another demo"
    with pytest.raises(DeclarationError, match="is not a folder"):
        load_sources(ScraperSettings(scraper_sources_dir=tmp_path / "nothing"))


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("name = ", "Invalid value"),
        ('name = "a"\ntitle = "A"\nspider = "other"', "spider"),
        ('name = "A b"\ntitle = "A"\nspider = "toscrape"', "name"),
        ('name = "a"\ntitle = "A"\nspider = "toscrape"\nstart_urls = ["ftp://x/"]', "start_urls"),
        ('name = "a"\ntitle = "A"\nspider = "toscrape"\nspeed = 3', "speed"),
        ('name = "a"\ntitle = "A"\nspider = "toscrape"\nschedule = "often"', "schedule"),
        ('name = "a"\ntitle = "${unknown}"\nspider = "toscrape"', "unknown"),
    ],
)
def test_the_error_of_an_invalid_declaration_names_file_and_field(text: str, fault: str) -> None:
    with pytest.raises(DeclarationError, match=rf"x\.toml: .*{fault}"):
        read(text)


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("HTTP://www.Shop.Example:80/a?b#c", "shop.example"),
        ("https://shop.example:443", "shop.example"),
        ("http://127.0.0.1:8085/", "127.0.0.1:8085"),
        ("http://[::1]:8085/", "[::1]:8085"),
        ("http://user:secret@shop.example./", "shop.example"),
        ("http://b\xfccher.example/", "xn--bcher-kva.example"),
    ],
)
def test_every_notation_of_a_url_has_the_same_site(url: str, site: str) -> None:
    assert get_site(url) == site


def test_a_start_url_on_an_undeclared_site_is_recognized() -> None:
    source = Source(name="shop", title="Shop", spider="toscrape", start_urls=("http://www.a.example/x", "http://b/"))
    assert source.undeclared_site("https://a.example/y") is None
    assert source.undeclared_site("http://b/") is None
    assert source.undeclared_site("http://b:8080/") == "b:8080"


@pytest.mark.parametrize("url", ["http://:80/", "http://a:x/", "http://[::1/", "http://a~b/", f"http://{'a' * 300}/"])
def test_a_start_url_without_a_host_is_rejected(url: str) -> None:
    with pytest.raises(InvalidCrawlRequestError, match="start_url"):
        resolve_request(crawl_request("schema_org", url), load_sources(ScraperSettings()))


@pytest.mark.parametrize(
    ("schedule", "now", "due"),
    [
        ("every 6h", "2026-03-01T07:30:00", "2026-03-01T06:00:00"),
        ("every 6h", "2026-03-01T06:00:00", "2026-03-01T06:00:00"),
        ("every 90 m", "2026-03-01T01:29:59", "2026-03-01T00:00:00"),
        ("every 30s", "2026-03-01T00:00:59.9", "2026-03-01T00:00:30"),
        ("0 3 * * *", "2026-03-01T02:59:59", "2026-02-28T03:00:00"),
        ("0 3 * * *", "2026-03-01T03:00:00", "2026-03-01T03:00:00"),
        ("*/5 * * * *", "2026-03-01T03:04:59", "2026-03-01T03:00:00"),
        ("30 4 29 2 *", "2026-03-01T00:00:00", "2024-02-29T04:30:00"),
    ],
)
def test_a_schedule_computes_its_latest_due_time(schedule: str, now: str, due: str) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert parse_schedule(schedule)(moment) == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", ["", "every", "every 0h", "every -1h", "every 5 weeks", "61 * * * *", "* * *"])
def test_an_invalid_schedule_is_rejected(text: str) -> None:
    with pytest.raises(ValueError, match=r"neither|interval"):
        parse_schedule(text)


def test_a_requested_start_url_must_be_a_web_url() -> None:
    sources = load_sources(ScraperSettings())
    assert resolve_request(crawl_request("toscrape", "http://other.example/x"), sources)[1] == (
        "http://other.example/x",
    )
    assert resolve_request(crawl_request("demo"), sources)[1] == ("http://127.0.0.1:8085/",)
    for source, url in (
        ("nowhere", None),
        ("schema_org", None),
        ("toscrape", "file:///etc/passwd"),
        ("toscrape", "http://"),
        ("toscrape", "http:// x/"),
        ("toscrape", "javascript:alert(1)"),
        ("toscrape", "http://x/" + "a" * 3000),
    ):
        with pytest.raises(InvalidCrawlRequestError):
            resolve_request(crawl_request(source, url), sources)


def test_publishing_sources_replaces_the_whole_list(redis_url: str) -> None:
    client = Redis.from_url(redis_url)
    sources = load_sources(ScraperSettings())
    publish_sources(client, sources)
    publish_sources(client, {"demo": sources["demo"]})
    assert client.hkeys(SOURCES_KEY) == [b"demo"]
    client.close()


def test_spiders_are_discovered_and_an_unknown_spider_is_rejected() -> None:
    assert spider_names() == ("schema_org", "toscrape")
    with pytest.raises(DeclarationError, match="unknown spider 'nosuch'; available spiders: schema_org, toscrape"):
        read('name = "a"\ntitle = "A"\nspider = "nosuch"\n')
