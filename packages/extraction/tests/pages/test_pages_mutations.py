"""Damaged pages: no exception, bounded time, and never a price that the original page does not have."""

import random
import re
import time
from typing import Any

import pytest
from bookwheel_extraction.pages import read_page

MAX_CPU_SECONDS = 2.0
# Mutations leave these unchanged: digits, currencies, types and the words that give a price another meaning.
_PROTECTED = re.compile(
    r"\d[\d.,]*|[$€£¥]|\b(?:EUR|USD|GBP|SEK|CAD|AUD|DKK|BRL|kr)\b|priceCurrency|currency"
    r"|\"(?:@|schema:)?type\"\s*:\s*(?:\"[^\"]*\"|\[[^\]]*\])|(?:itemtype|typeof)=\"[^\"]*\"|https?://schema\.org/\w+"
    r"|</?(?:del|ins|aside|template)>|businessFunction|priceType|itemCondition|validForMemberTier|unitText"
    r"|referenceQuantity|eligibleQuantity|billingDuration|seller|[A-Z][a-z]+Condition|\w+Stock|\w+Price|name"
)
_SEVERAL_PRICES = (
    "markup: JSON-LD precedes microdata",
    "markup: Open Graph with a sale price",
    "prices: the shop before other sellers",
    "prices: the offer's price repeats the list price",
    "prices: an expired sale beside the normal price",
    "prices: an aggregate offer with its offers",
)
"""A mutation can remove what tells the prices of these pages apart. What remains is a page with another price."""
_JUNK = (
    "<",
    ">",
    '"',
    "'",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\",
    "&",
    "&amp;",
    "/*",
    "<!--",
    "]]>",
    "\0",
    "é",
    " ",
    "\n",
    "=",
)


def mutate(page: str, rng: random.Random) -> str:
    for _ in range(rng.randint(1, 4)):
        protected = [match.span() for match in _PROTECTED.finditer(page)]
        start = rng.randrange(len(page) + 1)
        end = min(len(page), start + rng.choice((0, 1, 2, 5, 20, 80)))
        overlap = next((span for span in protected if span[0] < end and start < span[1]), None)
        if overlap is not None or any(span[0] < start < span[1] for span in protected):
            continue
        match rng.randrange(4):
            case 0:
                page = page[:start] + page[end:]
            case 1:
                page = page[:start] + rng.choice(_JUNK) + page[start:]
            case 2:
                page = page[:start] + rng.choice(_JUNK) + page[end:]
            case _:
                page = page[:end] + page[start:end] + page[end:]
    return page


def prices(page: str, url: str, hints: Any) -> set[Any]:
    return {book.value("price") for book in read_page(page.encode(), url, hints).books} - {None}


def check_mutations(cases: list[Any], count: int, seed: int) -> None:
    rng = random.Random(seed)
    cases = [case for case in cases if case.name not in _SEVERAL_PRICES and prices(case.page, case.url, case.hints)]
    for number in range(count):
        case = cases[number % len(cases)]
        page = mutate(case.page, rng)
        started = time.process_time()
        found = prices(page, case.url, case.hints)
        assert time.process_time() - started < MAX_CPU_SECONDS, page
        assert found <= prices(case.page, case.url, case.hints), f"{case.name}\n{page}"


def test_damaged_pages_have_no_wrong_price(all_page_cases: Any) -> None:
    check_mutations(all_page_cases, 600, seed=1)


@pytest.mark.slow
def test_many_damaged_pages_have_no_wrong_price(all_page_cases: Any) -> None:
    check_mutations(all_page_cases, 10_000, seed=2)
