"""The pages of both storefronts and the control routes, over HTTP."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from bookwheel_demo_shop.app import create_app
from bookwheel_demo_shop.pages import shorten
from hypothesis import given
from hypothesis import strategies as st
from parsel import Selector

STARS = {"One": 1, "Two": 2, "Three": 3, "Four": 4, "Five": 5}


@asynccontextmanager
async def open_shop(*, books: int = 130, day: int = 0) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=create_app(books=books, seed=7, day=day))
    async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as shop:
        yield shop


async def select(shop: httpx.AsyncClient, path: str) -> Selector:
    response = await shop.get(path)
    assert response.status_code == 200, path
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    return Selector(response.text, base_url=str(response.url))


async def get_facts(shop: httpx.AsyncClient, query: str = "") -> list[dict[str, Any]]:
    response = await shop.get(f"/_shop/facts{query}")
    return [json.loads(line) for line in response.text.splitlines()]


async def walk(shop: httpx.AsyncClient, path: str, next_link: str) -> AsyncIterator[tuple[str, Selector]]:
    """Yields the pages of a list by following its next links."""
    while True:
        page = await select(shop, path)
        yield path, page
        following = page.css(next_link).get()
        if following is None:
            return
        path = urljoin(path, following)


def words(page: Selector, query: str) -> str:
    return " ".join(page.css(query).xpath("string()").get("").split())


@pytest.mark.parametrize(
    "start", ["/", "/index.html", "/catalogue/page-1.html", "/catalogue/category/books_1/index.html"]
)
async def test_the_next_links_lead_to_every_book_once(start: str) -> None:
    async with open_shop(books=130) as shop:
        paths = [
            urljoin(path, link)
            async for path, page in walk(shop, start, "ul.pager li.next a::attr(href)")
            for link in page.css("article.product_pod h3 a::attr(href)").getall()
        ]
        assert paths == [book["path"] for book in await get_facts(shop)]


async def test_a_list_page_has_the_structure_of_the_real_site() -> None:
    async with open_shop(books=130) as shop:
        page, books = await select(shop, "/catalogue/page-2.html"), (await get_facts(shop))[20:40]
        pods = page.css("ol.row li article.product_pod")
        assert len(pods) == 20
        for pod, book in zip(pods, books, strict=True):
            assert pod.css("h3 > a::attr(title)").get() == book["title"]
            assert pod.css("h3 > a::text").get() == shorten(book["title"])
            assert pod.css("p.price_color::text").get() == f"£{book['price']}"
            assert STARS[pod.css("p.star-rating").attrib["class"].split()[1]] == book["rating"]
            assert words(pod, "p.availability") == ("In stock" if book["stock"] else "Out of stock")
            assert bool(pod.css("p.instock.availability")) == (book["stock"] > 0)
        assert page.css("form.form-horizontal strong::text").getall() == ["130", "21", "40"]
        assert words(page, "li.current") == "Page 2 of 7"
        assert page.css("li.previous a::attr(href)").get() == "page-1.html"


async def test_the_last_page_has_the_remaining_books_and_no_next_link() -> None:
    async with open_shop(books=130) as shop:
        page = await select(shop, "/catalogue/page-7.html")
        assert len(page.css("article.product_pod")) == 10
        assert not page.css("li.next")


async def test_a_shop_with_one_book_has_one_page_without_pager() -> None:
    async with open_shop(books=1) as shop:
        page = await select(shop, "/")
        assert page.css("form.form-horizontal strong::text").getall() == ["1"]
        assert not page.css("ul.pager")
        assert len(page.css("ul.nav-list ul li")) == 1


async def test_a_product_page_has_the_structure_of_the_real_site() -> None:
    async with open_shop(books=300) as shop:
        for book in await get_facts(shop):
            page = await select(shop, book["path"])
            rows = {
                words(row, "th"): row.css("td").xpath("string()").get() for row in page.css("table.table-striped tr")
            }
            availability = f"In stock ({book['stock']} available)" if book["stock"] else "Out of stock"
            assert page.css("div.product_main h1").xpath("string()").get() == book["title"]
            assert page.css("div.product_main p.price_color::text").get() == f"£{book['price']}"
            assert words(page, "div.product_main p.availability") == availability
            assert page.css(f"div.product_main p.star-rating.{list(STARS)[book['rating'] - 1]}")
            assert page.css("#product_description + p").xpath("string()").get() == book["description"]
            assert page.css("div.item.active img::attr(alt)").get() == book["title"]
            assert page.css("ul.breadcrumb li a::text").getall() == ["Home", "Books", book["category"]]
            assert rows == {
                "UPC": book["upc"],
                "Product Type": "Books",
                "Price (excl. tax)": f"£{book['price']}",
                "Price (incl. tax)": f"£{book['price']}",
                "Tax": "£0.00",
                "Availability": availability,
                "Number of reviews": str(book["rating_count"]),
            }


async def test_the_categories_of_the_sidebar_list_every_book_once() -> None:
    async with open_shop(books=400) as shop:
        home = await select(shop, "/")
        paths = []
        for link in home.css("ul.nav-list ul a"):
            async for path, page in walk(shop, "/" + link.attrib["href"], "li.next a::attr(href)"):
                assert words(page, "h1") == words(link, "a")
                paths += [urljoin(path, href) for href in page.css("h3 a::attr(href)").getall()]
        assert sorted(paths) == sorted(book["path"] for book in await get_facts(shop))


async def test_every_link_and_image_exists() -> None:
    async with open_shop(books=600) as shop:
        book = (await get_facts(shop, "?limit=1"))[0]
        paths = [
            *("/", "/catalogue/page-2.html", "/catalogue/category/books_1/page-2.html", "/schema/page/2"),
            *("/catalogue/category/books/fiction_2/page-2.html", book["path"], book["schema_path"]),
        ]
        links = {
            urljoin(path, link)
            for path in paths
            for link in (await select(shop, path)).css("a::attr(href), img::attr(src), link::attr(href)").getall()
        }
        for link in sorted(links):
            assert (await shop.get(link)).status_code == 200, link


async def test_the_json_ld_of_the_schema_storefront_has_the_same_facts() -> None:
    async with open_shop(books=300) as shop:
        books = await get_facts(shop)
        for book in books:
            page = await select(shop, book["schema_path"])
            data = json.loads(page.css('script[type="application/ld+json"]::text').get(""))
            facts = data["@graph"][1] if "@graph" in data else data
            authors = facts["author"] if isinstance(facts["author"], list) else [facts["author"]]
            assert "Book" in facts["@type"]
            assert facts["name"] == book["title"]
            assert [author["name"] for author in authors] == book["authors"]
            assert facts["sku"] == book["upc"]
            assert facts.get("isbn") == book["isbn"]
            assert facts.get("description") == book["description"]
            assert facts["genre"] == book["category"]
            assert facts["offers"]["price"] == book["price"]
            assert facts["offers"]["priceCurrency"] == "GBP"
            assert facts["offers"]["availability"].endswith("/InStock" if book["stock"] else "/OutOfStock")
            assert facts["offers"]["inventoryLevel"]["value"] == book["stock"]
            assert facts["aggregateRating"]["ratingValue"] == book["rating"]
            assert facts["aggregateRating"]["bestRating"] == 5
            assert facts["url"] == book["schema_path"]


@pytest.mark.parametrize("next_link", ['link[rel="next"]::attr(href)', 'a[rel="next"]::attr(href)'])
async def test_the_rel_next_links_lead_to_every_book_of_the_schema_storefront(next_link: str) -> None:
    async with open_shop(books=130) as shop:
        linked, listed = [], []
        async for _, page in walk(shop, "/schema/", next_link):
            linked += page.css("li a::attr(href)").getall()
            data = json.loads(page.css("script::text").get(""))
            listed += [(item["position"], item["url"]) for item in data["itemListElement"]]
        expected = [book["schema_path"] for book in await get_facts(shop)]
        assert linked == expected
        assert listed == list(enumerate(expected, 1))


async def test_the_pages_follow_the_day() -> None:
    async with open_shop(books=400) as shop:
        before = {book["id"]: book for book in await get_facts(shop)}
        assert (await shop.put("/_shop/day", json={"day": 30})).json() == {"day": 30}
        assert (await shop.get("/_shop/day")).json() == {"day": 30}
        after = {book["id"]: book for book in await get_facts(shop)}
        vanished, appeared = before.keys() - after.keys(), after.keys() - before.keys()
        assert vanished
        assert appeared
        for number in vanished:
            assert (await shop.get(before[number]["path"])).status_code == 404
            assert (await shop.get(before[number]["schema_path"])).status_code == 404
        for number in appeared:
            assert words(await select(shop, after[number]["path"]), "h1") == " ".join(after[number]["title"].split())
        changed = next(book for book in after.values() if before.get(book["id"], book)["price"] != book["price"])
        page = await select(shop, changed["path"])
        assert page.css("p.price_color::text").get() == f"£{changed['price']}"
        assert changed["upc"] == before[changed["id"]]["upc"]


async def test_robots_txt_forbids_only_the_control_routes() -> None:
    async with open_shop() as shop:
        assert (await shop.get("/robots.txt")).text == "User-agent: *\nDisallow: /_shop/\n"


@pytest.mark.parametrize(
    "path",
    [
        "/catalogue/page-0.html",
        "/catalogue/page-8.html",
        "/catalogue/page-01.html",
        "/catalogue/page--1.html",
        "/catalogue/page-999999999999999999999999999999.html",
        "/catalogue/page-" + "9" * 5_000 + ".html",
        "/catalogue/page-%D9%A1.html",  # the Arabic digit 1
        "/catalogue/page-1.html%00",
        "/catalogue/",
        "/catalogue/_1/index.html",
        "/catalogue/no-such-book_1/index.html",
        "/catalogue/book_99999999999999999999/index.html",
        "/catalogue/book_0/index.html",
        "/catalogue/../_shop/index.html",
        "/catalogue/%2e%2e/index.html",
        "/catalogue/category/books_2/index.html",
        "/catalogue/category/books/no-such_99/index.html",
        "/catalogue/category/books/fiction_2/page-99.html",
        "/schema/page/0",
        "/schema/page/8",
        "/schema/page/x",
        "/schema/books/0",
        "/schema/books/131",
        "/schema/books/" + "1" * 5_000,
        "/media/cache/0.svg",
        "/media/cache/..svg",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/_shop/nothing",
        "/wp-login.php",
        "/%ff%fe",
    ],
)
async def test_an_unknown_path_is_not_found(path: str) -> None:
    async with open_shop(books=130) as shop:
        assert (await shop.get(path)).status_code == 404


async def test_pages_are_read_only() -> None:
    async with open_shop() as shop:
        assert (await shop.post("/")).status_code == 405
        assert (await shop.delete("/_shop/day")).status_code == 405
        assert (await shop.head("/")).status_code == 200


async def test_facts_continue_after_a_book_even_if_it_was_replaced() -> None:
    async with open_shop(books=250, day=90) as shop:
        everything = await get_facts(shop)
        assert len(everything) == 250
        assert await get_facts(shop, f"?after={everything[119]['id']}&limit=7") == everything[120:127]
        assert await get_facts(shop, "?after=120&limit=7") == everything[120:127]
        assert await get_facts(shop, f"?after={everything[-1]['id']}") == []
        assert await get_facts(shop, "?limit=0") == []


@pytest.mark.parametrize("query", ["after=x", "after=-1", "after=", "limit=1.5", "limit=99999999999", "after=%D9%A1"])
async def test_facts_reject_invalid_numbers(query: str) -> None:
    async with open_shop() as shop:
        assert (await shop.get(f"/_shop/facts?{query}")).status_code == 400


async def test_the_law_endpoint_returns_the_best_reachable_errors() -> None:
    async with open_shop(books=300) as shop:
        law, books = (await shop.get("/_shop/law")).json(), await get_facts(shop)
        assert law["books_measured"] == 300
        mean_variance = sum(book["rating_variance"] for book in books) / 300
        assert law["best_reachable_rmse"] == pytest.approx(mean_variance**0.5)
        assert 0 < law["best_reachable_mae"] < law["best_reachable_rmse"]


@given(st.text(min_size=1))
def test_a_shortened_title_is_a_prefix_of_the_title(title: str) -> None:
    short = shorten(title)
    assert len(short) <= 28
    assert title.startswith(short.removesuffix(" ..."))
