"""Normalization of ISBNs."""

import pytest
from bookwheel_contracts.isbn import clean_isbn


@pytest.mark.parametrize(
    ("value", "isbn13"),
    [
        ("9780306406157", "9780306406157"),
        ("ISBN-13: 978-0-306-40615-7", "9780306406157"),
        ("0306406152", "9780306406157"),
        ("urn:isbn:080442957x", "9780804429573"),
        (9780306406157, "9780306406157"),
        ("9791034304707", "9791034304707"),
        ("9780306406158", None),
        ("0306406153", None),
        ("9790306406156", None),  # an ISMN with a valid check digit
        ("X306406152", None),
        ("", None),
        (None, None),
        (True, None),
        (-1, None),
        ("9" * 65, None),
        ("978030640615\N{ARABIC-INDIC DIGIT SEVEN}", None),
    ],
)
def test_only_a_valid_isbn_is_normalized(value: object, isbn13: str | None) -> None:
    assert clean_isbn(value) == isbn13
