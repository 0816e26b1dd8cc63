"""Hostile pages are read within two seconds of CPU time."""

import json
import time
from typing import Any

import pytest
from bookwheel_extraction.pages import read_page

MAX_CPU_SECONDS = 2.0


def script(data: Any) -> str:
    return f'<script type="application/ld+json">{json.dumps(data)}</script>'


PAGES = {
    "deep elements": "<div>" * 200_000,
    "deep items": '<div itemscope itemprop="a">' * 20_000,
    "deep types": '<div typeof="Book" property="name">' * 20_000,
    "many references": f'<div itemscope itemref="{" ".join(f"i{n}" for n in range(2_000))}"></div>' * 100
    + "".join(f"<p id=i{n} itemprop=name>x</p>" for n in range(2_000)),
    "one referenced element": '<div itemscope itemref="a"></div>' * 3_000
    + f"<div id=a>{'<p itemprop=name>x</p>' * 20_000}</div>",
    "nested texts": f"<div itemscope>{'<div itemprop=description>text ' * 3_000}",
    "many offers": script({"@type": "Book", "name": "x", "offers": [{"price": "1", "priceCurrency": "EUR"}] * 100_000}),
    "one name": script([{"@type": "Book", "name": "x", "isbn": str(n)} for n in range(9_000)]),
    "one ISBN": script([{"@type": "Book", "name": f"x{n}", "isbn": "9781987700015"} for n in range(9_000)]),
    "one identifier": script([{"@type": "Book", "@id": "#x", "offers": {"price": str(n)}} for n in range(4_000)]),
    "many editions": script({"@type": "Book", "name": "x", "workExample": [{"isbn": str(n)} for n in range(9_000)]}),
    "many entries": script({"itemListElement": [{"@type": "Book", "name": f"x{n}"} for n in range(9_000)]}),
    "broken blocks": '<script type="application/ld+json">{"@type": "Book", "x" y}</script>' * 10_000,
    "a broken block": '<script type="application/ld+json">' + '{"a": /*' * 50_000 + "</script>",
    "many attributes": f"<div {' '.join(f'a{n}=1' for n in range(100_000))}>",
    "many headings": "<h1>x</h1>" * 50_000,
    "NUL bytes": "\0" * 2_000_000,
}


@pytest.mark.parametrize("name", PAGES)
def test_a_hostile_page_is_read_in_bounded_time(name: str) -> None:
    body = PAGES[name].encode()
    started = time.process_time()
    read_page(body, "https://shop.example/b/7")
    assert time.process_time() - started < MAX_CPU_SECONDS
