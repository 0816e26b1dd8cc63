"""ISBNs, checked by their check digit and brought to thirteen digits."""

import re

_SEPARATORS = re.compile(r"(?i)^\s*(?:urn:)?isbn(?:-1[03])?:?|[\s\-\N{EN DASH}\N{NON-BREAKING HYPHEN}]")
_ISBN_10 = re.compile(r"\d{9}[\dXx]", re.ASCII)
_ISBN_13 = re.compile(r"97[89]\d{10}", re.ASCII)
_LONGEST = 64


def clean_isbn(value: object) -> str | None:
    """Thirteen digits for a valid ISBN-10 or ISBN-13, else None: a wrong ISBN identifies nothing."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value) if 0 <= value < 10**13 else None
    if not isinstance(value, str) or len(value) > _LONGEST:
        return None
    digits = _SEPARATORS.sub("", value)
    if _ISBN_13.fullmatch(digits):
        return digits if _check_digit_13(digits[:12]) == digits[12] else None
    if _ISBN_10.fullmatch(digits) and _is_isbn_10(digits):
        return f"978{digits[:9]}{_check_digit_13('978' + digits[:9])}"
    return None


def _check_digit_13(first_twelve: str) -> str:
    total = sum(int(digit) * (3 if place % 2 else 1) for place, digit in enumerate(first_twelve))
    return str(-total % 10)


def _is_isbn_10(digits: str) -> bool:
    values = [10 if digit in "Xx" else int(digit) for digit in digits]
    return sum(value * (10 - place) for place, value in enumerate(values)) % 11 == 0
