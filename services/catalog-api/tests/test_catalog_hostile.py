"""Tests of hostile requests: the response is a list or a problem that names the parameter, never an internal error."""

import httpx
import pytest

DEEP = "(" * 3000 + ")" * 3000
HOSTILE = [
    "\x00",
    "'; DROP TABLE book; --",
    '"unclosed',
    "title:[* TO",
    "AND OR NOT",
    '+ - && || ! ( ) { } [ ] ^ " ~ * ? : \\ /',
    "*" * 500,
    "~" * 500,
    "/.*.*.*.*/",
    "{{7*7}}",
    "\u202e\u200b\ufeff",
    "\U0010ffff",
    "a" * 5000,
    "a " * 2000,
    DEEP,
    "%00%ff",
    "\r\nX-Injected: 1",
]
FILTERS = [
    "",
    ":",
    "::",
    "category",
    "category:",
    ":Science",
    "nosuch:1",
    "price:..",
    "price:a..b",
    "price:9..1",
    "price:NaN..Infinity",
    "price:-1..",
    "price:1e400..",
    "price:" + "9" * 4000 + "..",
    "rating:0..1..2",
    "stock:1.5..",
    "in_stock:maybe",
    "source:\x00",
    "category:" + "x" * 5000,
    "first_seen:9999999-01-01..",
]


async def check(response: httpx.Response) -> None:
    assert response.status_code in (200, 400)
    assert "x-injected" not in response.headers
    if response.status_code == 400:
        assert response.headers["content-type"] == "application/problem+json"
        problem = response.json()
        assert problem["code"] in ("invalid_parameter", "invalid_cursor")
        assert problem["errors"]
        assert problem["detail"]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(("path", "name"), [("/books", "q"), ("/suggest", "q"), ("/books/search", "title")])
async def test_a_hostile_text(filled: object, client: httpx.AsyncClient, path: str, name: str, text: str) -> None:
    await check(await client.get(path, params={name: text}))


@pytest.mark.parametrize("value", FILTERS)
@pytest.mark.parametrize("path", ["/books", "/stats/overview"])
async def test_a_hostile_filter(filled: object, client: httpx.AsyncClient, path: str, value: str) -> None:
    await check(await client.get(path, params={"filter": value}))


async def test_a_thousand_filters(filled: object, client: httpx.AsyncClient) -> None:
    await check(await client.get("/books", params=[("filter", f"category:{n}") for n in range(1000)]))


@pytest.mark.parametrize("query", [b"q=%ff%fe", b"q=%", b"filter=%00", b"q=%ed%a0%80", b"limit=1e3", b"limit=0x10"])
async def test_query_with_invalid_utf8(filled: object, client: httpx.AsyncClient, query: bytes) -> None:
    await check(await client.get(httpx.URL("http://catalog/api/v1/books", query=query)))


@pytest.mark.parametrize("book_id", ["%00", "..", "../../etc/passwd", "a" * 600, "%2e%2e", "isbn:", ":", "demo:\u202e"])
async def test_a_hostile_id(filled: object, client: httpx.AsyncClient, book_id: str) -> None:
    for path in (f"/books/{book_id}", f"/quality/{book_id}"):
        response = await client.get(httpx.URL("http://catalog").copy_with(path=f"/api/v1{path}"))
        assert response.status_code in (400, 404)
        assert response.headers["content-type"] == "application/problem+json"
