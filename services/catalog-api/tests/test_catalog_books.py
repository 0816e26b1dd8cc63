"""Tests of the book and statistics routes: lists, facets, cursors, details, history, caching, errors."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from bookwheel_catalog.books.models import BookHistory, BookList, BookListWithPrices, DetailedBook, ListedBook
from bookwheel_catalog.statistics.models import (
    CategoryList,
    CategoryStatisticsList,
    Overview,
    PriceTrend,
    SuggestionList,
)
from bookwheel_testing.catalog_stores import CatalogStores
from bookwheel_testing.internal_tokens import internal_token
from pydantic import BaseModel

SEEN = datetime(2026, 1, 30, 12, 0, tzinfo=UTC)  # the first observation of every offer


async def get(client: httpx.AsyncClient, path: str, status: int = 200, **options: Any) -> Any:
    response = await client.get(path, **options)
    assert response.status_code == status, response.text
    return response.json()


async def problem(client: httpx.AsyncClient, path: str, status: int = 400) -> Any:
    response = await client.get(path)
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json")
    body = response.json()
    assert body["trace_id"] in response.headers["traceparent"]
    return body


def keys(page: Any) -> list[str]:
    return [item["id"].partition(":")[2] for item in page["items"]]


async def test_books_are_selected_by_text_and_filters_and_sorted(
    filled: CatalogStores, client: httpx.AsyncClient
) -> None:
    assert keys(await get(client, "/books?q=moon")) == ["1", "2"]
    assert keys(await get(client, "/books?q=MOON lodz")) == ["2"]
    assert set(keys(await get(client, "/books?filter=category:Science&filter=category:Fiction"))) == {
        "1",
        "2",
        "3",
        "a/b c?d#e",
    }
    assert keys(await get(client, "/books?filter=category:Science&filter=price:10..20")) == ["1", "3"]
    assert keys(await get(client, "/books?sort=price")) == ["a/b c?d#e", "1", "3", "2", "4"]
    assert keys(await get(client, "/books?sort=-rating")) == ["2", "1", "4", "3", "a/b c?d#e"]
    assert keys(await get(client, "/books?filter=in_stock:false&sort=title")) == ["2", "3"]
    assert keys(await get(client, "/books?filter=source:other")) == []
    assert keys(await get(client, "/books?q=%20")) == ["1", "2", "3", "4", "a/b c?d#e"]


async def test_list_has_amounts_as_strings_and_times_in_utc(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    (item,) = (await get(client, "/books?q=tides"))["items"]
    assert item["price"] == {"amount": "19.99", "currency": "GBP"}
    assert item["first_seen"] == "2026-01-30T12:00:00.000Z"
    assert item["title"] == "Tides & <Stars>"
    assert "number" not in item
    assert "last_seen" not in item


async def test_facets_are_disjunctive_and_mark_selected_values(
    filled: CatalogStores, client: httpx.AsyncClient
) -> None:
    path = "/books?facet=category&facet=price&facet=in_stock&filter=category:Science&filter=price:..15"
    facets = (await get(client, path))["facets"]
    assert list(facets) == ["category", "price", "in_stock"]
    assert facets["category"] == [{"value": "Science", "count": 2, "selected": True}]
    price = facets["price"]
    assert (price["currency"], price["count"], price["min"], price["max"], price["avg"]) == (
        "GBP",
        2,
        "10.50",
        "19.99",
        "15.24",
    )
    assert sum(bucket["count"] for bucket in price["histogram"]) == 2
    assert price["selected"] == [{"from": None, "to": "15"}]
    assert facets["in_stock"] == [{"value": "true", "count": 2, "selected": False}]


@pytest.mark.parametrize(
    "path", ["/books", "/books?q=the&sort=relevance", "/books?sort=title", "/books/top-rated", "/books/price-range"]
)
async def test_next_page_is_linked_by_cursor_and_link_header(
    filled: CatalogStores, client: httpx.AsyncClient, path: str
) -> None:
    all_keys = keys(await get(client, path))
    paged_keys: list[str] = []
    url = f"{path}{'&' if '?' in path else '?'}limit=1"
    while True:
        response = await client.get(url)
        body = response.json()
        paged_keys += keys(body)
        assert body["total"] == {"value": len(all_keys), "relation": "eq"}
        if body["next"] is None:
            assert "link" not in response.headers
            break
        url = response.links["next"]["url"].removeprefix("/api/v1")
        assert f"cursor={body['next']}" in url
    assert paged_keys == all_keys


async def test_cursor_of_another_list_is_rejected(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    cursor = (await get(client, "/books?limit=1"))["next"]
    for path in ("/books?sort=price", "/books?q=moon", "/books?filter=category:Science"):
        assert (await problem(client, f"{path}&cursor={cursor}"))["code"] == "invalid_cursor"


async def test_fields_parameter_selects_the_fields_of_books(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    (item,) = (await get(client, "/books?q=tides&fields=title,id"))["items"]
    assert item == {"title": "Tides & <Stars>", "id": "demo:3"}
    assert await get(client, "/books/demo:3?fields=last_seen") == {"last_seen": "2026-01-30T12:00:00.000Z"}


async def test_search_has_a_parameter_for_each_field(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    search = "/books/search"
    assert keys(await get(client, f"{search}?title=the moon")) == ["1", "2"]
    assert keys(await get(client, f"{search}?title=moon&category=fiction")) == ["2"]
    assert len(keys(await get(client, f"{search}?author=lee"))) == 5
    assert keys(await get(client, f"{search}?author=lee&title=...")) == []
    assert keys(await get(client, f"{search}?min_price=5&max_price=10.5&sort=price")) == ["a/b c?d#e", "1"]
    assert keys(await get(client, f"{search}?min_rating=4.5&in_stock=false&source=demo")) == ["2"]
    assert (await problem(client, f"{search}?min_price=2&max_price=1"))["errors"][0]["field"] == "min_price"
    assert (await problem(client, f"{search}?in_stock=maybe"))["errors"][0]["field"] == "in_stock"


@pytest.mark.parametrize("isbn", ["978-0-306-40615-7", "9780306406157", "0306406152", "0-306-40615-2"])
async def test_isbn10_and_isbn13_match_the_same_book(
    filled: CatalogStores, client: httpx.AsyncClient, isbn: str
) -> None:
    filled.add(key="with-isbn", title="With ISBN", isbn13="9780306406157")
    filled.project()
    assert keys(await get(client, f"/books/search?isbn={isbn}")) == ["with-isbn"]


@pytest.mark.parametrize("isbn", ["", "-", "%20", "9780306406158", "0306406153", "moon", "9" * 65])
async def test_invalid_isbn_is_rejected(filled: CatalogStores, client: httpx.AsyncClient, isbn: str) -> None:
    body = await problem(client, f"/books/search?isbn={isbn}")
    assert (body["status"], body["errors"][0]["field"]) == (400, "isbn")


async def test_top_rated_and_price_range(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    assert keys(await get(client, "/books/top-rated")) == ["2", "1", "4"]
    assert keys(await get(client, "/books/top-rated?category=Science&min_rating=3")) == ["1"]
    page = await get(client, "/books/price-range?min=10&max=20&currency=GBP")
    assert keys(page) == ["1", "3", "2"]
    assert page["prices"] == [
        {"currency": "GBP", "count": 3, "min": "10.50", "max": "20.00", "avg": "16.83", "median": "19.99"}
    ]
    assert [item["currency"] for item in (await get(client, "/books/price-range"))["prices"]] == ["EUR", "GBP"]


async def test_book_id_may_contain_reserved_characters(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    book = await get(client, f"/books/{quote('demo:a/b c?d#e', safe='')}")
    assert (book["title"], book["price"]) == ("Slashes", {"amount": "5.00", "currency": "EUR"})
    assert book["offers"][0]["last_seen"] == "2026-01-30T12:00:00.000Z"
    assert (await problem(client, "/books/demo:none", 404))["code"] == "not_found"
    assert (await problem(client, "/books/demo:none/history", 404))["code"] == "not_found"


async def test_history_pages_are_newest_first(stores: CatalogStores, client: httpx.AsyncClient) -> None:
    stores.add(key="old", title="Old", price=100_000, observed=5)
    amounts: list[str] = []
    changes: list[int] = []
    path = "/books/demo:old/history?limit=2"
    while True:
        page = await get(client, path)
        BookHistory.model_validate(page)
        amounts += [item["price"]["amount"] for item in page["observations"]]
        changes += [item["sequence"] for item in page["changes"]]
        if page["next"] is None:
            break
        path = f"/books/demo:old/history?limit=2&cursor={page['next']}"
    assert amounts == ["14.00", "13.00", "12.00", "11.00", "10.00"]
    assert len(changes) == 1
    assert (await problem(client, "/books/demo:x/history?cursor=WyJhIiwxLDFd"))["code"] == "invalid_cursor"


async def test_history_page_can_end_between_observations_of_the_same_millisecond(
    stores: CatalogStores, client: httpx.AsyncClient
) -> None:
    stores.add(key="shared", title="Shared", price=100_000, observed=2)
    stores.add_offer("demo:shared", source="rival")
    stores.add_offer("demo:shared", source="third")
    sources: list[str] = []
    path = "/books/demo:shared/history?limit=1"
    following: str | None = ""
    while following is not None:
        page = await get(client, f"{path}&cursor={following}" if following else path)
        sources += [item["source"] for item in page["observations"]]
        following = page["next"]
    assert sources == ["demo", "third", "rival", "demo"]


async def test_statistics_apply_the_filters_of_a_search(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    overview = await get(client, "/stats/overview")
    assert (overview["books"], overview["in_stock"], overview["categories"], overview["authors"]) == (5, 3, 2, 1)
    assert overview["rating"] == {"count": 3, "average": 3.5}
    assert overview["sources"] == [{"value": "demo", "count": 5}]
    assert (await get(client, "/stats/overview?q=moon&filter=rating:4.5.."))["books"] == 1
    categories = (await get(client, "/stats/categories?filter=currency:GBP"))["items"]
    assert [(item["category"], item["books"]) for item in categories] == [("Fiction", 1), ("Science", 2)]
    assert (await get(client, "/categories"))["items"] == [
        {"name": "Fiction", "count": 1},
        {"name": "Science", "count": 3},
    ]


async def test_price_trend(stores: CatalogStores, client: httpx.AsyncClient) -> None:
    stores.add(key="one", title="One", category="A", price=100_000, observed=3)
    stores.add(key="two", title="Two", category="B", price=500_000)
    stores.project()
    trend = await get(client, "/stats/prices?from=2026-01-30&to=2026-02-01&filter=category:A")
    assert [(item["time"][:10], item["count"], item["max"]) for item in trend["points"]] == [
        ("2026-01-30", 1, "10.00"),
        ("2026-01-31", 1, "11.00"),
        ("2026-02-01", 1, "12.00"),
    ]
    by_month = await get(client, "/stats/prices?from=2026-01-30&to=2026-02-01&interval=month")
    assert by_month["points"][0]["count"] == 2
    for query in ("from=x", "to=2026-99-01", "from=2026-02-02&to=2026-02-01", "interval=year", "from=1990-01-01"):
        assert (await problem(client, f"/stats/prices?{query}"))["code"] == "invalid_parameter"


@pytest.mark.parametrize("interval", ["day", "week", "month"])
async def test_price_trend_accepts_the_first_and_rejects_the_last_year_of_the_calendar(
    filled: CatalogStores, client: httpx.AsyncClient, interval: str
) -> None:
    for ends in ("to=0001-01-02", "from=0001-01-01&to=0001-01-09"):
        assert (await get(client, f"/stats/prices?interval={interval}&{ends}"))["points"] == []
    for ends in ("to=9999-12-31", "to=9999-12-31T23:59:59-01:00", "from=0001-01-01T00:00:00%2B01:00"):
        assert (await problem(client, f"/stats/prices?interval={interval}&{ends}"))["code"] == "invalid_parameter"


async def test_suggestions(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    suggestions = (await get(client, "/suggest?q=scie&type=category"))["items"]
    assert suggestions == [{"text": "Science", "type": "category", "count": 3}]
    assert (await get(client, "/suggest?q=annn&limit=1"))["items"][0]["text"] == "Ann Lee"
    for query in ("", "q=", "q=a&type=isbn", "q=a&limit=51"):
        await problem(client, f"/suggest?{query}")


@pytest.mark.parametrize(
    "path",
    [
        *("/books?foo=1", "/books/demo:1?foo=1", "/categories?foo=1", "/stats/prices?foo=1", "/crawls?foo=1"),
        *("/books?limit=0", "/books?limit=101", "/books?limit=x", "/books?sort=size", "/books?facet=title"),
        *("/books?filter=size:1", "/books?fields=size", "/books?cursor=%00", f"/books?q={'a' * 501}"),
        *("/books/search?min_price=-1", "/books/search?min_price=NaN", "/books/price-range?currency=gbp"),
        *("/books?q=a&q=b", "/books/search?title=a&title=a", "/crawls?limit=1&limit=1"),
    ],
)
async def test_error_names_an_unknown_or_invalid_parameter(
    filled: CatalogStores, client: httpx.AsyncClient, path: str
) -> None:
    body = await problem(client, path)
    parameter = path.partition("?")[2].partition("=")[0]
    assert parameter in body["detail"] or body["code"] == "invalid_cursor"


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("/books?facet=category&facet=price&facet=rating&filter=price:1..", BookList),
        ("/books/search", BookList),
        ("/books/top-rated", BookList),
        ("/books/price-range", BookListWithPrices),
        ("/books/demo:1", DetailedBook),
        ("/books/demo:1/history", BookHistory),
        ("/categories", CategoryList),
        ("/suggest?q=a", SuggestionList),
        ("/stats/overview", Overview),
        ("/stats/categories", CategoryStatisticsList),
        ("/stats/prices", PriceTrend),
    ],
)
async def test_responses_match_their_models(
    filled: CatalogStores, client: httpx.AsyncClient, path: str, shape: type[BaseModel]
) -> None:
    response = await get(client, path)
    shape.model_validate(response)
    if shape is DetailedBook:
        assert response.keys() == DetailedBook.model_fields.keys()
    elif issubclass(shape, BookList):
        assert all(book.keys() == ListedBook.model_fields.keys() for book in response["items"])


@pytest.mark.parametrize(
    "path",
    ["/books", "/books/search", "/books/demo:1", "/books/demo:1/history", "/categories", "/stats/prices", "/sources"],
)
async def test_routes_require_the_read_scope(filled: CatalogStores, client: httpx.AsyncClient, path: str) -> None:
    assert (await client.get(path, headers={"Authorization": ""})).status_code == 401
    assert (await client.get(path, headers={"Authorization": "Bearer nonsense"})).status_code == 401
    forbidden = await client.get(path, headers={"Authorization": f"Bearer {internal_token('ml:predict')}"})
    assert (forbidden.status_code, forbidden.json()["code"]) == (403, "forbidden")


@pytest.mark.parametrize("path", ["/books?q=moon", "/books/demo:1", "/stats/overview"])
async def test_current_etag_returns_304(filled: CatalogStores, client: httpx.AsyncClient, path: str) -> None:
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", first.headers["etag"])
    assert (await client.get(path, headers={"If-None-Match": '"other"'})).content == first.content


async def test_etag_of_a_book_changes_when_an_offer_is_seen(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    filled.add_offer("demo:1", source="rival")
    filled.mark_seen("demo", SEEN + timedelta(days=2))
    first = await client.get("/books/demo:1")
    filled.mark_seen("rival", SEEN + timedelta(days=1))  # later than before, but not the latest time of the book
    after = await client.get("/books/demo:1", headers={"If-None-Match": first.headers["etag"]})
    assert after.status_code == 200
    assert [offer["last_seen"] for offer in after.json()["offers"]] == [
        "2026-02-01T12:00:00.000Z",
        "2026-01-31T12:00:00.000Z",
    ]
    assert after.json()["last_seen"] == first.json()["last_seen"]
    again = await client.get("/books/demo:1", headers={"If-None-Match": after.headers["etag"]})
    assert again.status_code == 304


async def test_change_invalidates_cached_lists_immediately(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    for number in range(5):
        before = await client.get("/books?q=new")
        assert (await client.get("/books?q=new")).content == before.content
        assert before.json()["total"]["value"] == number
        filled.add(key=f"new{number}", title="New")
        filled.project()
        after = await client.get("/books?q=new", headers={"If-None-Match": before.headers["etag"]})
        assert after.json()["total"]["value"] == number + 1


async def test_concurrent_requests_get_the_same_response(filled: CatalogStores, client: httpx.AsyncClient) -> None:
    responses = await asyncio.gather(*(client.get("/books?q=moon&facet=category") for _ in range(50)))
    assert len({response.content for response in responses}) == 1


async def test_openapi_document_has_every_parameter(client: httpx.AsyncClient) -> None:
    paths = (await client.get("http://catalog/openapi.json")).json()["paths"]
    described = {item["name"] for item in paths["/api/v1/books"]["get"]["parameters"]}
    assert described == {"q", "filter", "facet", "sort", "fields", "cursor", "limit"}
    assert paths["/api/v1/books"]["get"]["security"]
