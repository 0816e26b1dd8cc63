"""Normalizes ISBNs to thirteen digits."""

import re

from stdnum import ean, isbn

_SEPARATORS = re.compile(r"(?i)^\s*(?:urn:)?isbn(?:-1[03])?:?|[\s\-\N{EN DASH}\N{NON-BREAKING HYPHEN}]")
_ISBN_10 = re.compile(r"\d{9}[\dXx]", re.ASCII)
_ISBN_13 = re.compile(r"97(?:8\d|9[1-9])\d{9}", re.ASCII)  # the prefix 9790 is for ISMNs of printed music
_MAX_LENGTH = 64


def clean_isbn(value: object) -> str | None:
    """Returns the thirteen digits of a valid ISBN-10 or ISBN-13; None for an invalid ISBN, which identifies no book."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 <= value < 10**13 else None
    if not isinstance(value, str) or len(value) > _MAX_LENGTH:
        return None
    digits = _SEPARATORS.sub("", value)
    if _ISBN_13.fullmatch(digits):
        return digits if ean.calc_check_digit(digits[:12]) == digits[12] else None
    if _ISBN_10.fullmatch(digits) and isbn.is_valid(digits.upper()):
        return str(isbn.to_isbn13(digits.upper()))
    return None
