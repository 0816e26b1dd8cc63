"""Which offer, and of which book, a page is."""

from typing import Any

from bookwheel_contracts.model import MAX_KEY_LENGTH
from bookwheel_processor import identity
from bookwheel_processor.cleaning.item import clean_item
from hypothesis import given
from hypothesis import strategies as st

URL = "http://shop.example/catalogue/a_1/index.html?id=4"


def test_a_valid_isbn_is_the_book_s_identity_in_every_shop(scraped: Any) -> None:
    one = clean_item(scraped.item(1, source="shop", isbn="0306406152"))
    other = clean_item(scraped.item(9, source="rival", isbn="978-0-306-40615-7"))
    assert one.book_id == other.book_id == "isbn:9780306406157"
    assert (one.source, one.source_key) != (other.source, other.source_key)


def test_without_a_valid_isbn_the_source_s_own_key_is(scraped: Any) -> None:
    assert clean_item(scraped.item(1, isbn="0306406153")).book_id == "shop:upc-1"


def test_without_a_key_the_canonical_path_is() -> None:
    assert identity.source_key(None, URL) == "/catalogue/a_1/index.html?id=4"
    assert identity.source_key("  ", URL + "#top") == identity.source_key(None, URL)


@given(st.text(min_size=1, max_size=3000))
def test_a_key_always_fits_and_long_ones_stay_apart(key: str) -> None:
    found = identity.source_key(key, URL)
    assert 0 < len(identity.book_id("s" * 100, found, None)) <= MAX_KEY_LENGTH
    assert identity.source_key(found, URL) == found
    assert identity.source_key("k" * 500 + "1", URL) != identity.source_key("k" * 500 + "2", URL)
