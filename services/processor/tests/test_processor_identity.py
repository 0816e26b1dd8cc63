"""The source key of an offer and the id of its book."""

from typing import Any

import pytest
from bookwheel_contracts import RawItem
from bookwheel_contracts.model import MAX_KEY_LENGTH
from bookwheel_processor.cleaning import identity
from bookwheel_processor.cleaning.item import clean_item
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

URL = "http://shop.example/catalogue/a_1/index.html?id=4"


def test_a_valid_isbn_is_the_book_s_identity_in_every_shop(scraped: Any) -> None:
    offer = clean_item(scraped.item(1, source="shop", isbn="0306406152"))
    other = clean_item(scraped.item(9, source="rival", isbn="978-0-306-40615-7"))
    assert offer.book_id == other.book_id == "isbn:9780306406157"
    assert (offer.source, offer.source_key) != (other.source, other.source_key)


def test_the_source_s_key_identifies_a_book_without_a_valid_isbn(scraped: Any) -> None:
    assert clean_item(scraped.item(1, isbn="0306406153")).book_id == "shop:upc-1"


def test_the_canonical_path_is_the_key_of_a_page_without_one() -> None:
    assert identity.parse_source_key(None, URL).value == "/catalogue/a_1/index.html?id=4"
    assert identity.parse_source_key("  ", URL + "#top").value == identity.parse_source_key(None, URL).value


def test_offers_of_a_foreign_site_have_separate_keys(scraped: Any) -> None:
    first, other = (clean_item(scraped.item(1, site=site)) for site in ("a.example", "a.example:8080"))
    assert (first.source_key, first.book_id) == ("@a.example~upc-1", "shop:@a.example~upc-1")
    assert other.source_key == "@a.example:8080~upc-1"
    assert identity.parse_source_key(None, URL, "a.example").value == "@a.example~/catalogue/a_1/index.html?id=4"
    assert clean_item(scraped.item(1, site="a.example", isbn="0306406152")).book_id == "isbn:9780306406157"
    imitation = clean_item(scraped.item(1, key="@a.example~upc-1"))
    assert imitation.source_key not in (first.source_key, other.source_key)


@pytest.mark.parametrize("site", ["", "a~b", "a/b", "A.example", "a\x00", "a" * 261])
def test_an_invalid_site_is_rejected(scraped: Any, site: str) -> None:
    with pytest.raises(ValidationError):
        RawItem.model_validate(scraped.item(1).model_dump() | {"site": site})


@given(st.text(min_size=1, max_size=3000), st.none() | st.just("h" * 253 + ":65535"))
def test_long_keys_are_shortened_and_stay_distinct(key: str, site: str | None) -> None:
    offer_key = identity.parse_source_key(key, URL, site).value
    assert offer_key is not None
    assert 0 < len(identity.book_id("s" * 100, offer_key, None)) <= MAX_KEY_LENGTH
    assert offer_key.startswith(f"@{site}~") == (site is not None)
    assert site or identity.parse_source_key(offer_key, URL).value == offer_key
    first, second = (identity.parse_source_key("k" * 500 + end, URL, site).value for end in "12")
    assert first != second
