"""One source crawls several sites, with the real scraper and processor: the catalog has the books of all sites."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from bookwheel_contracts import RawItem
from bookwheel_contracts.redis_keys import RAW_STREAM
from bookwheel_processor.pipeline import ItemPipeline
from bookwheel_stores.records import BookReader, RunStore
from bookwheel_stores.streams import StreamEntry
from bookwheel_testing.crawl_runner import FULL_SPEED, Crawls, crawl_request
from bookwheel_testing.shop_site import Site, product_page, serving_site
from redis import Redis
from sqlalchemy import Engine

BOOKS = 30


def schema_shop(site: Site, name: str) -> None:
    """Adds pages of books with and without an SKU. Every such shop has the same paths."""
    site.pages["/"] = "".join(f'<a href="/books/{number}">x</a>' for number in range(BOOKS)).encode()
    for number in range(BOOKS):
        sku = f'"sku": "SKU-{number}",' if number % 2 else ""
        data = f'{{"@type": "Book", {sku} "name": "{name} {number}", "author": "A"}}'
        site.pages[f"/books/{number}"] = f'<html><script type="application/ld+json">{data}</script></html>'.encode()


def toscrape_shop(site: Site, name: str) -> None:
    site.fill(BOOKS)
    for number in range(1, BOOKS + 1):
        site.pages[f"/books/{number}/index.html"] = product_page(number, title=f"{name} {number - 1}")


@pytest.fixture
def shops() -> Iterator[tuple[Site, Site]]:
    with serving_site() as first, serving_site() as second:
        yield first, second


@pytest.fixture
def crawls(tmp_path: Path, redis_url: str) -> Iterator[Crawls]:
    environment = {"BOOKWHEEL_REDIS_URL": redis_url, "BOOKWHEEL_SCRAPER_PRIVATE_ADDRESSES": "allow"}
    for spider in ("schema_org", "toscrape"):
        declaration = f'name = "{spider}"\ntitle = "Any site"\nspider = "{spider}"\n'
        (tmp_path / f"{spider}.toml").write_text(declaration + FULL_SPEED)
    crawls = Crawls(tmp_path, redis_url, environment | {"BOOKWHEEL_SCRAPER_SOURCES_DIR": str(tmp_path)})
    yield crawls
    crawls.stop()


def crawl(crawls: Crawls, engine: Engine, source: str, url: str) -> Any:
    """Crawls, ingests the stream and returns the counts of the run."""
    request = crawl_request(source, url)
    crawls.run(request)
    client = Redis.from_url(crawls.redis_url)
    entries: Any = client.xrange(RAW_STREAM)
    ItemPipeline(engine).ingest([StreamEntry(entry_id.decode(), fields[b"body"], 1) for entry_id, fields in entries])
    client.close()
    run = RunStore(engine).get(request.run_id)
    assert run is not None
    assert run.state == "complete", run.reason
    return run.counts


@pytest.mark.parametrize(("source", "fill"), [("schema_org", schema_shop), ("toscrape", toscrape_shop)])
def test_the_catalog_has_the_books_of_two_shops_with_the_same_paths_and_skus(
    crawls: Crawls, engine: Engine, shops: tuple[Site, Site], source: str, fill: Any
) -> None:
    for name, shop in zip(("One", "Other"), shops, strict=True):
        fill(shop, name)
        assert crawl(crawls, engine, source, shop.url).added == BOOKS
    assert BookReader(engine).count() == 2 * BOOKS
    titles = {book.title for book in BookReader(engine).page(after_number=0, limit=99)}
    assert titles == {f"{name} {number}" for name in ("One", "Other") for number in range(BOOKS)}
    assert crawl(crawls, engine, source, shops[0].url).unchanged == BOOKS
    assert BookReader(engine).count() == 2 * BOOKS


def test_books_of_a_list_without_own_pages_are_separate_books(
    crawls: Crawls, engine: Engine, shops: tuple[Site, Site]
) -> None:
    shop, _ = shops
    books = [f'{{"@type": "Book", "name": "Book {number}", "author": "A"}}' for number in (1, 2)]
    data = f'{{"@type": "ItemList", "itemListElement": [{", ".join(books)}]}}'
    shop.pages["/"] = f'<html><script type="application/ld+json">{data}</script></html>'.encode()
    assert crawl(crawls, engine, "schema_org", shop.url).added == 2
    counts = crawl(crawls, engine, "schema_org", shop.url)
    assert (counts.scraped, counts.unchanged) == (2, 2)
    assert BookReader(engine).count() == 2


def test_a_declared_shop_has_the_same_keys_for_any_start_url(
    crawls: Crawls, engine: Engine, shops: tuple[Site, Site]
) -> None:
    declared, undeclared = shops
    for shop in shops:
        shop.fill(BOOKS)
    crawls.declare([declared.url])
    items: list[RawItem] = crawls.run(crawl_request("shop", f"{declared.url}page-2.html")).items
    assert {item.site for item in items} == {None}
    assert crawl(crawls, engine, "shop", undeclared.url).added == BOOKS
    assert BookReader(engine).get("shop:u25") is not None
    assert BookReader(engine).get(f"shop:@{undeclared.url.split('/')[2]}~u25") is not None
