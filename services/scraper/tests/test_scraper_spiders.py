"""The payloads and requests of the spiders for saved pages."""

from collections.abc import Callable
from pathlib import Path

import pytest
from bookwheel_contracts import FetchedPage, PageOutcome
from bookwheel_contracts.crawls import RAW_FIELDS
from bookwheel_extraction.pages import ExtractedBook, read_page
from bookwheel_scraper.crawl.context import CrawlContext
from bookwheel_scraper.publishing.item_messages import Payload, ScrapedBook
from bookwheel_scraper.spiders.book_spider import BookSpider
from bookwheel_scraper.spiders.schema_org import SchemaOrgSpider
from bookwheel_scraper.spiders.toscrape import ToScrapeSpider
from scrapy import Request
from scrapy.http import HtmlResponse

PAGES = Path(__file__).parent / "pages"


def page(name: str, url: str = "https://shop.example/books/0") -> HtmlResponse:
    return HtmlResponse(url, body=(PAGES / name).read_bytes(), encoding="utf-8")


def html(body: str, url: str = "https://shop.example/books/0") -> HtmlResponse:
    return HtmlResponse(url, body=body.encode(), encoding="utf-8")


def json_ld(data: str) -> HtmlResponse:
    return html(f'<html><script type="application/ld+json">{data}</script><body></body></html>')


def extract_books(response: HtmlResponse) -> tuple[ExtractedBook, ...]:
    return read_page(response.body, response.url).books


def visit(spider: BookSpider, response: HtmlResponse) -> tuple[list[Payload], list[str]]:
    """Returns the payloads and requested URLs that a spider yields for a start page."""
    outputs = list(spider.parse_start(response))
    books = [output.payload for output in outputs if isinstance(output, ScrapedBook)]
    assert all(set(book) <= RAW_FIELDS for book in books)
    return books, [output.url for output in outputs if isinstance(output, Request)]


@pytest.fixture
def toscrape(idle_context: Callable[[str], CrawlContext]) -> ToScrapeSpider:
    return ToScrapeSpider(context=idle_context("https://shop.example/"))


@pytest.fixture
def schema_org(idle_context: Callable[[str], CrawlContext]) -> SchemaOrgSpider:
    return SchemaOrgSpider(context=idle_context("https://shop.example/"))


def test_a_list_requests_the_next_list_first_and_each_product_once(toscrape: ToScrapeSpider) -> None:
    books, links = visit(toscrape, page("toscrape_list.html", "https://shop.example/index.html"))
    assert books == []
    assert links == [
        "https://shop.example/catalogue/page-2.html",
        "https://shop.example/catalogue/the-quiet-harbour_2/index.html",
        "https://shop.example/catalogue/quotes-and-ampersands_3/index.html",
    ]


def test_the_payload_of_a_product_page_is_not_cleaned(toscrape: ToScrapeSpider) -> None:
    books, links = visit(toscrape, page("toscrape_product.html", "https://shop.example/catalogue/q_3/index.html"))
    assert links == []
    assert books == [
        {
            "key": "a897fe39b1053632",
            "title": '"Quotes" & Ampersands',
            "category": "Poetry",
            "description": "A book of café poems, 詩集 <for> all.",
            "price": "£51.77",
            "availability": "In stock (22 available)",
            "rating": "Three",
            "rating_count": "7",
            "image_url": "https://shop.example/media/cache/fe/72.jpg",
        }
    ]


def test_missing_parts_of_a_product_page_are_left_out(toscrape: ToScrapeSpider) -> None:
    books, _ = visit(toscrape, html("<html><div class='product_main'><h1>Alone</h1><p class='star-rating'>"))
    assert books == [{"title": "Alone"}]


def test_an_unknown_page_yields_nothing(toscrape: ToScrapeSpider) -> None:
    assert visit(toscrape, html("<html><p>Nothing for sale")) == ([], [])
    assert visit(toscrape, html("")) == ([], [])


def test_a_graph_with_references_yields_one_book(schema_org: SchemaOrgSpider) -> None:
    books, links = visit(schema_org, page("schema_graph.html"))
    assert links == []
    assert books == [
        {
            "isbn": "9780306406157",
            "title": "A Map of Tides",
            "subtitle": "How the moon moves the sea",
            "authors": ["Ida Berg", "Noor Aziz"],
            "category": ["Science", "Oceans"],
            "description": "Where water goes.",
            "language": "en",
            "price": "12.50",
            "currency": "EUR",
            "availability": "in_stock",
            "stock": "4",
            "rating": "4.2",
            "rating_count": "31",
            "image_url": "https://shop.example/covers/tides.jpg",
        }
    ]


def test_a_product_and_a_book_with_the_same_name_are_one_item(schema_org: SchemaOrgSpider) -> None:
    books, _ = visit(schema_org, page("schema_product_beside_book.html"))
    assert books == [
        {
            "key": "NF-1",
            "isbn": "9780306406157",
            "title": "Night Ferry",
            "authors": ["R. Quist"],
            "price": "7.99",
            "currency": "GBP",
        }
    ]


def test_microdata_is_read(schema_org: SchemaOrgSpider) -> None:
    books, _ = visit(schema_org, page("schema_microdata.html"))
    assert books == [
        {
            "isbn": "9780306406157",
            "title": "Salt & Lanterns",
            "authors": ["Mara Lund"],
            "category": ["Fantasy"],
            "price": "14.00",
            "currency": "USD",
            "availability": "out_of_stock",
            "stock": "0",
            "image_url": "https://shop.example/books/img/salt.png",
        }
    ]


def test_rdfa_is_read_in_the_order_of_the_page(schema_org: SchemaOrgSpider) -> None:
    books, _ = visit(schema_org, page("schema_rdfa.html"))
    assert books == [
        {
            "isbn": "9780306406157",
            "title": "The Ninth Bell",
            "authors": ["Zoe Abel", "Carl Mo"],
            "price": "3.20",
            "currency": "GBP",
        }
    ]


def test_listed_books_in_microdata_are_followed_or_published(schema_org: SchemaOrgSpider) -> None:
    books, links = visit(schema_org, page("schema_microdata_list.html", "https://shop.example/list"))
    assert books == [{"key": "9780306406157", "isbn": "9780306406157", "title": "Three, without a page"}]
    assert links == [
        "https://shop.example/list?page=2",
        "https://shop.example/books/1",
        "https://shop.example/books/2",
    ]


def test_every_form_of_an_item_list_is_followed(schema_org: SchemaOrgSpider) -> None:
    books, links = visit(schema_org, page("schema_item_list.html", "https://shop.example/"))
    assert books == [{"key": "9780306406157", "isbn": "9780306406157", "title": "Four, without a page"}]
    assert sorted(links) == [
        "https://elsewhere.example/books/3",  # the crawl's same-site rule refuses it
        "https://shop.example/books/1",
        "https://shop.example/books/2",
        "https://shop.example/books/5",
        "https://shop.example/page/2",
    ]


def test_links_outside_navigation_are_followed_on_a_list_without_data(schema_org: SchemaOrgSpider) -> None:
    books, links = visit(schema_org, page("schema_plain_list.html", "https://shop.example/"))
    assert books == []
    assert links == ["https://shop.example/b/1", "https://shop.example/b/2"]


@pytest.mark.parametrize(
    ("name", "links"),
    [
        ("schema_list_of_one.html", ["https://shop.example/books/9"]),
        ("schema_last_but_one.html", ["https://shop.example/list?page=3"]),
    ],
)
def test_a_list_with_one_book_is_not_a_book_page(schema_org: SchemaOrgSpider, name: str, links: list[str]) -> None:
    books, requested = visit(schema_org, page(name, "https://shop.example/list?page=2"))
    assert requested == links
    assert [book["title"] for book in books] == (["Alone"] if name == "schema_last_but_one.html" else [])


def test_the_next_page_of_a_list_is_a_list_even_with_one_book(schema_org: SchemaOrgSpider) -> None:
    [fetched, output] = schema_org.parse_next(json_ld('{"@type": "Book", "name": "Last", "isbn": "9780306406157"}'))
    assert isinstance(fetched, FetchedPage)
    assert fetched.outcome is PageOutcome.LIST
    assert isinstance(output, ScrapedBook)
    assert output.payload["key"] == "9780306406157", "not the page's URL, which may show another book tomorrow"
    [_, followed] = schema_org.parse_next(page("schema_list_of_one.html", "https://shop.example/list?page=2"))
    assert isinstance(followed, Request)
    assert followed.url == "https://shop.example/books/9"


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example/books/0",
        "http://www.shop.example/books/0/",
        "/books/0#reviews",
        "https://publisher.example/tides",  # on another site, which the crawl does not enter
        "/b/0",  # the page's canonical link
    ],
)
def test_a_book_page_is_recognized_by_any_of_its_own_urls(schema_org: SchemaOrgSpider, url: str) -> None:
    data = f'{{"@type": "Book", "name": "Own", "url": "{url}"}}'
    response = html(f'<link rel="canonical" href="/b/0"><script type="application/ld+json">{data}</script>')
    assert visit(schema_org, response) == ([{"title": "Own"}], [])


def test_a_page_linked_from_a_list_is_a_book_page_with_any_declared_url(schema_org: SchemaOrgSpider) -> None:
    data = '{"@type": "Book", "name": "Linked", "url": "https://shop.example/"}'
    response = html(f'<link rel="next" href="/books/1"><script type="application/ld+json">{data}</script>')
    [_, output] = schema_org.parse_linked(response)
    assert isinstance(output, ScrapedBook)
    assert output.payload == {"title": "Linked"}


def listed(*books: str) -> HtmlResponse:
    return json_ld(f'{{"@type": "ItemList", "itemListElement": [{", ".join(books)}]}}')


def test_listed_books_without_page_and_identifier_get_stable_keys(schema_org: SchemaOrgSpider) -> None:
    books = (
        '{"@type": "Book", "name": "By title", "author": ["A", "B"]}',
        '{"@type": "Book", "name": "By title", "author": "C"}',
        '{"@type": "Book", "name": "By id", "@id": "#b3"}',
        '{"@type": "Book", "name": "By fragment", "url": "/books/0#b4"}',
        '{"@type": "Book", "name": "By name", "@id": "urn:book:5"}',
        '{"@type": "Book", "name": "Shared", "url": "#details"}',
        '{"@type": "Book", "name": "Shared too", "url": "#details"}',
        '{"@type": "Book", "name": "By number", "sku": "S-1"}',
        '{"@type": "Book", "name": "Blank", "@id": "_:n0"}',
        '{"@type": "Book", "name": "Of the list", "url": "https://shop.example/books/0"}',
        '{"@type": "Book", "name": "Odd", "@id": "http://[x"}',
    )
    payloads, links = visit(schema_org, listed(*books))
    keys = {f"{book['title']} {book.get('authors', '')}": str(book["key"]) for book in payloads}
    assert links == []
    assert len(set(keys.values())) == len(books)
    named = {title.split(" [")[0].strip(): key for title, key in keys.items()}
    assert (named["By id"], named["By fragment"]) == ("/books/0#b3", "/books/0#b4")
    assert (named["By name"], named["By number"]) == ("urn:book:5", "S-1")
    again, _ = visit(SchemaOrgSpider(context=schema_org.context), listed(*reversed(books)))
    assert {f"{book['title']} {book.get('authors', '')}": book["key"] for book in again} == keys


def test_a_book_page_with_other_books_publishes_only_its_own_book(schema_org: SchemaOrgSpider) -> None:
    books, links = visit(
        schema_org,
        json_ld('[{"@type": "Book", "name": "Main"}, {"@type": "Book", "name": "Also", "url": "/books/7"}]'),
    )
    assert books == [{"title": "Main"}]
    assert links == ["https://shop.example/books/7"]


def test_a_plain_link_is_used_only_if_it_leads_to_a_book_page(schema_org: SchemaOrgSpider) -> None:
    [fetched] = schema_org.parse_plain_link(page("schema_plain_list.html"))
    assert isinstance(fetched, FetchedPage)
    assert len(list(schema_org.parse_plain_link(page("schema_microdata.html")))) == 2


@pytest.mark.parametrize(
    ("data", "title"),
    [
        ('{"@type": "https://schema.org/Book", "name": "Long type"}', "Long type"),
        ('{"@type": "Product", "name": "By its number", "gtin13": "9780306406157"}', "By its number"),
        ('{"@type": "Product", "name": "By its author", "author": "X"}', "By its author"),
        ('{"@type": "Offer", "itemOffered": {"@type": "Book", "name": "Offered"}}', "Offered"),
        ('{"@type": "Book", "name": {"@value": "Valued", "@language": "en"}}', "Valued"),
        ('{"@type": "Book", "name": ["First", "Second"]}', "First"),
        ('{"@type": "Book", "name": 1984}', "1984"),
        ('// a comment\n{"@type": "Book", "name": "Commented"}', "Commented"),
    ],
)
def test_books_are_recognized_in_many_forms(schema_org: SchemaOrgSpider, data: str, title: str) -> None:
    books, _ = visit(schema_org, json_ld(data))
    assert [book["title"] for book in books] == [title]


@pytest.mark.parametrize(
    "data",
    [
        '{"@type": "Product", "name": "A lamp", "gtin13": "4006381333931"}',
        '{"@type": "BookStore", "name": "A shop"}',
        "[]",
        "null",
        "42",
        '{"@graph": {"@type": "Thing"}}',
        '{"@type": {"a": 1}, "name": []}',
        '{"@type": "ItemList", "itemListElement": [null, 3, {}, {"item": {}}, [[]], ""]}',
        "[" * 5_000,
        '{"a":' * 5_000,
        '{"@type": "ItemList", "itemListElement": {"@id": "#x"}, "@id": "#x"}',
    ],
)
def test_other_types_and_invalid_data_are_not_books(data: str) -> None:
    assert extract_books(json_ld(data)) == ()


def test_circular_references_end() -> None:
    data = """{"@graph": [{"@type": "WebPage", "@id": "#p", "mainEntity": {"@id": "#b"}}, {"@id": "#b",
    "@type": "Book", "name": "Round", "mainEntityOfPage": {"@id": "#p"}, "workExample": {"@id": "#b"}}]}"""
    assert [book.value("title") for book in extract_books(json_ld(data))] == ["Round"]


def test_depth_and_width_of_data_are_limited() -> None:
    deep = '{"@type": "Book", "name": "Top", "about": ' + '{"about": ' * 200 + "1" + "}" * 201
    assert [book.value("title") for book in extract_books(json_ld(deep))] == ["Top"]
    wide = "[" + ",".join(['{"@type": "Thing"}'] * 30_000) + ', {"@type": "Book", "name": "Late"}]'
    assert extract_books(json_ld(wide)) == ()


@pytest.mark.parametrize(
    ("body", "outcome", "reason"),
    [
        (
            '<script type="application/ld+json">{"@type": "Book", "name": "A" "b"::: [}</script>',
            "unreadable",
            "JSON-LD",
        ),
        (
            '<script type="application/ld+json">{"@type": "Book", "name": "A", "isbn": "9780306406157"}</script>',
            "book",
            "",
        ),
        ("<p>Nothing for sale", "other", "no book data"),
    ],
)
def test_every_page_has_an_outcome(schema_org: SchemaOrgSpider, body: str, outcome: str, reason: str) -> None:
    outputs = list(schema_org.parse_start(html(f"<html>{body}</html>")))
    [fetched] = [output for output in outputs if isinstance(output, FetchedPage)]
    assert fetched.outcome.value == outcome
    assert reason in (fetched.reason or "")
    if outcome == "unreadable":
        assert fetched.position
        assert [fault.field for fault in fetched.faults] == ["page"]


def test_fields_that_cannot_be_read_travel_with_the_item(schema_org: SchemaOrgSpider) -> None:
    data = '{"@type": "Book", "name": "A", "isbn": "9780306406157", "numberOfPages": "many"}'
    [book] = [output for output in schema_org.parse_start(json_ld(data)) if isinstance(output, ScrapedBook)]
    assert [(fault.field, fault.code, fault.text) for fault in book.faults] == [("pages", "not_a_count", "many")]


def test_a_product_page_without_a_title_is_unreadable(toscrape: ToScrapeSpider) -> None:
    def outcome_of(response: HtmlResponse) -> str:
        [fetched] = [output for output in toscrape.parse_start(response) if isinstance(output, FetchedPage)]
        return fetched.outcome.value

    assert outcome_of(html("<div class='product_main'><h1> </h1></div>")) == "unreadable"
    assert outcome_of(html("<div class='product_main'><h1>Book</h1></div>")) == "book"
    assert outcome_of(html("<article class='product_pod'><h3><a href='/1'>x</a></h3></article>")) == "list"
    assert outcome_of(html("<p>Nothing")) == "other"
