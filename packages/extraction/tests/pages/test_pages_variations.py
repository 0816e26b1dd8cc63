"""Harmless variations of a page give the same books."""

import html
import json
import random
import re
from collections.abc import Callable
from typing import Any

import pytest
from bookwheel_extraction.pages import PageHints, read_page

URL = "https://shop.example/b/7"
Record = dict[str, Any]

RECORDS: list[Record] = [
    {
        "@type": "Book",
        "name": "Salt & Signal",
        "author": [{"@type": "Person", "name": "Ines Marlow"}, {"@type": "Person", "name": "Bo Fox"}],
        "isbn": "9781987700015",
        "inLanguage": "en",
        "genre": "Fiction",
        "offers": {
            "@type": "Offer",
            "price": "12.50",
            "priceCurrency": "GBP",
            "availability": "https://schema.org/InStock",
        },
    },
    {
        "@type": "Book",
        "name": "Ödland: Ein Café in Zürich",
        "author": {"@type": "Person", "name": "Zoë Müller"},
        "isbn": "9781987700022",
        "datePublished": "2020-05-06",
        "publisher": {"@type": "Organization", "name": "Tide Press"},
        "offers": {"@type": "Offer", "price": "1049.90", "priceCurrency": "CHF"},
    },
    {
        "@type": "Book",
        "name": 'The "Great" Gale',
        "sku": "G-17",
        "isbn": "9781987700039",
        "numberOfPages": "320",
        "bookFormat": "https://schema.org/Paperback",
        "aggregateRating": {"@type": "AggregateRating", "ratingValue": "8.4", "bestRating": "10", "ratingCount": "31"},
        "offers": {
            "@type": "Offer",
            "price": "7",
            "priceCurrency": "EUR",
            "availability": "https://schema.org/PreOrder",
        },
    },
]


def page_of(record: Record, *, scripts: list[str] | None = None, body: str = "") -> str:
    title = html.escape(record["name"])
    blocks = scripts if scripts is not None else [script_of(record)]
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title} - Shop</title>\n'
        f"{''.join(blocks)}</head><body><main><h1>{title}</h1>{body}</main></body></html>"
    )


def script_of(data: Any, text: str | None = None) -> str:
    text = json.dumps(data, ensure_ascii=False) if text is None else text
    return f'<script type="application/ld+json">{text}</script>\n'


def microdata_of(record: Record, name: str | None = None) -> str:
    prop = f' itemprop="{name}"' if name else ""
    parts = [f'<div{prop} itemscope itemtype="https://schema.org/{record["@type"]}">']
    for key, values in record.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, dict):
                parts.append(microdata_of(value, key))
            elif key != "@type":
                parts.append(f'<meta itemprop="{key}" content="{html.escape(value)}">')
    return "".join([*parts, "</div>"])


def rdfa_of(record: Record, name: str | None = None) -> str:
    prop = f' property="{name}"' if name else ' vocab="https://schema.org/"'
    parts = [f'<div{prop} typeof="{record["@type"]}">']
    for key, values in record.items():
        for value in values if isinstance(values, list) else [values]:
            if isinstance(value, dict):
                parts.append(rdfa_of(value, key))
            elif key != "@type":
                parts.append(f'<meta property="{key}" content="{html.escape(value)}">')
    return "".join([*parts, "</div>"])


def graph_of(record: Record) -> list[Any]:
    """Return the record as nodes that refer to each other, in reverse order."""
    nodes: list[Any] = []

    def flatten(value: Any) -> Any:
        if isinstance(value, list):
            return [flatten(element) for element in value]
        if not isinstance(value, dict):
            return value
        node_id = f"#n{len(nodes)}"
        node: Record = {"@id": node_id}
        nodes.append(node)
        node.update({key: flatten(inner) for key, inner in value.items()})
        return {"@id": node_id}

    flatten(record)
    return nodes[::-1]


OTHER = {"@type": "Organization", "name": "Tidewater Books", "url": "https://shop.example/"}
RELATED = {
    "@type": "Book",
    "name": "Another Book",
    "isbn": "9781987700992",
    "url": "/b/99",
    "offers": {"@type": "Offer", "price": "99.00", "priceCurrency": "GBP"},
}


def prefix_types(data: Any) -> Any:
    if isinstance(data, list):
        return [prefix_types(value) for value in data]
    if isinstance(data, dict):
        return {
            key if key.startswith("@") else f"schema:{key}": [f"http://schema.org/{value}"]
            if key == "@type"
            else prefix_types(value)
            for key, value in data.items()
        }
    return data


VARIATIONS: dict[str, Callable[[Record], tuple[str, str]]] = {
    "blocks in another order": lambda r: (page_of(r, scripts=[script_of(OTHER), script_of(r)]), "utf-8"),
    "members in another order": lambda r: (page_of(r, scripts=[script_of(dict(reversed(r.items())))]), "utf-8"),
    "a graph with references": lambda r: (
        page_of(r, scripts=[script_of({"@context": "https://schema.org", "@graph": graph_of(r)})]),
        "utf-8",
    ),
    "a block for each node": lambda r: (page_of(r, scripts=[script_of(node) for node in graph_of(r)]), "utf-8"),
    "escaped as a whole": lambda r: (
        page_of(r, scripts=[script_of(r, html.escape(json.dumps(r, ensure_ascii=False)))]),
        "utf-8",
    ),
    "entities in texts": lambda r: (
        page_of(
            r,
            scripts=[
                script_of(r, re.sub(r"[^\x00-\x7f]", lambda m: f"&#{ord(m[0])};", json.dumps(r, ensure_ascii=False)))
            ],
        ),
        "utf-8",
    ),
    "escapes in texts": lambda r: (page_of(r, scripts=[script_of(r, json.dumps(r, ensure_ascii=True))]), "utf-8"),
    "white space": lambda r: (
        page_of(r, scripts=[script_of(r, "\n\n\t" + json.dumps(r, ensure_ascii=False, indent=7) + " \n")]).replace(
            "><", ">\n  <"
        ),
        "utf-8",
    ),
    "comments and trailing commas": lambda r: (
        page_of(r, scripts=[script_of(r, "/* data */ " + json.dumps(r, ensure_ascii=False)[:-1] + ", } // end\n;")]),
        "utf-8",
    ),
    "CDATA": lambda r: (
        page_of(r, scripts=[script_of(r, "//<![CDATA[\n" + json.dumps(r, ensure_ascii=False) + "\n//]]>")]),
        "utf-8",
    ),
    "types with prefixes": lambda r: (page_of(r, scripts=[script_of(prefix_types(r))]), "utf-8"),
    "microdata": lambda r: (page_of(r, scripts=[], body=microdata_of(r)), "utf-8"),
    "RDFa": lambda r: (page_of(r, scripts=[], body=rdfa_of(r)), "utf-8"),
    "two syntaxes": lambda r: (page_of(r, body=microdata_of(r)), "utf-8"),
    "related products": lambda r: (
        page_of(
            r,
            scripts=[script_of({**r, "isRelatedTo": [RELATED], "isSimilarTo": RELATED}), script_of(RELATED)],
            body=f'<div class="also-bought">{microdata_of(RELATED)}</div>',
        ),
        "utf-8",
    ),
    "a list of related products": lambda r: (
        page_of(r, scripts=[script_of({"@type": "ItemList", "itemListElement": [RELATED]}), script_of(r)]),
        "utf-8",
    ),
    "windows-1252 as ISO-8859-1": lambda r: (page_of(r).replace("utf-8", "iso-8859-1"), "cp1252"),
    "UTF-16": lambda r: (page_of(r), "utf-16"),
    "upper-case tags": lambda r: (
        page_of(r).replace("<script type", "<SCRIPT TYPE").replace("</script>", "</SCRIPT>").replace("h1>", "H1>"),
        "utf-8",
    ),
}


def read_items(page: str, encoding: str, url: str = URL) -> list[dict[str, Any]]:
    result = read_page(page.encode(encoding), url, PageHints())
    return [{"key": book.key, **{name: field.value for name, field in book.fields.items()}} for book in result.books]


@pytest.mark.parametrize("variation", VARIATIONS)
@pytest.mark.parametrize("record", RECORDS, ids=[record["name"] for record in RECORDS])
def test_a_variation_gives_the_same_book(record: Record, variation: str) -> None:
    expected = read_items(page_of(record), "utf-8")
    assert len(expected) == 1
    page, encoding = VARIATIONS[variation](record)
    assert read_items(page, encoding) == expected


@pytest.mark.parametrize("query", ["?utm_source=home", "#reviews", ";jsessionid=AB12"])
def test_the_spelling_of_the_url_gives_the_same_book(query: str) -> None:
    page = page_of(RECORDS[0])
    results = [read_page(page.encode(), url).books for url in (URL, URL + query)]
    assert results[0] == results[1]


def test_reading_is_deterministic() -> None:
    rng = random.Random(3)
    for record in RECORDS:
        page = page_of(record, body=microdata_of(rng.choice(RECORDS)))
        assert read_page(page.encode(), URL) == read_page(page.encode(), URL)
